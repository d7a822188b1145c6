// A cataloger for `vendored.txt`: lines with name, version and licence of software that was copied into a tree.
//
// `cataloger_plugin.h` is made of wit/ by `kiln plugin build`. Each call gets a memory of its own that is thrown away
// afterwards, so nothing here is ever freed, and text of the program may be part of an answer.

#include <string.h>

#include "cataloger_plugin.h"

#define LARGEST (1 << 20)

typedef cataloger_plugin_string_t text_t;
typedef kiln_plugin_sbom_package_info_t package_t;

static size_t arena;

void *malloc(size_t size) {
    extern unsigned char __heap_base;
    if (arena == 0) arena = (size_t)&__heap_base;
    size_t start = (arena + 15) & ~(size_t)15, pages = __builtin_wasm_memory_size(0);
    arena = start + size;
    if (arena > pages << 16 && __builtin_wasm_memory_grow(0, ((arena - (pages << 16)) >> 16) + 1) == (size_t)-1)
        __builtin_trap();
    return (void *)start;
}

void *calloc(size_t count, size_t size) { return memset(malloc(count * size), 0, count * size); }
void *realloc(void *old, size_t size) { return old ? memmove(malloc(size), old, size) : malloc(size); }
void free(void *unused) { (void)unused; }

static text_t lit(const char *text) { return (text_t){(uint8_t *)text, strlen(text)}; }
static bool blank(uint8_t c) { return c == ' ' || c == '\t' || c == '\r'; }

static text_t join(const text_t *parts, size_t count) {
    text_t out = {0};
    for (size_t i = 0; i < count; i++) out.len += parts[i].len;
    out.ptr = malloc(out.len), out.len = 0;
    for (size_t i = 0; i < count; out.len += parts[i++].len) memcpy(out.ptr + out.len, parts[i].ptr, parts[i].len);
    return out;
}

// What was found.
static struct {
    package_t *ptr;
    size_t len, room;
} found;

static package_t *add(void) {
    if (found.len == found.room) {
        package_t *more = calloc(found.room = found.room * 2 + 16, sizeof *more);
        if (found.len) memcpy(more, found.ptr, found.len * sizeof *more);
        found.ptr = more;
    }
    return &found.ptr[found.len++];
}

// Takes the next word off `line`; an empty one at its end.
static text_t word(text_t *line) {
    while (line->len && blank(line->ptr[0])) line->ptr++, line->len--;
    text_t out = {line->ptr, 0};
    while (line->len && !blank(line->ptr[0])) line->ptr++, line->len--, out.len++;
    return out;
}

static void package(text_t path, text_t line) {
    if (line.len && line.ptr[0] == '#') return;
    text_t name = word(&line), version = word(&line), license;
    if (!name.len) return;
    package_t *it = add();
    text_t *location = malloc(sizeof path), *licenses = malloc((line.len + 1) * sizeof path);
    *location = path;
    *it = (package_t){.name = name, .version = version};
    it->purl = join((text_t[]){lit("pkg:generic/"), name, lit("@"), version}, 4);
    it->locations.ptr = location, it->locations.len = 1;
    it->licenses.ptr = licenses;
    while ((license = word(&line)).len) licenses[it->licenses.len++] = license;
}

static void packages(text_t path, uint8_t *content, size_t size) {
    while (size) {
        uint8_t *end = memchr(content, '\n', size);
        size_t length = end ? (size_t)(end - content) : size, step = end ? length + 1 : length;
        package(path, (text_t){content, length});
        content += step, size -= step;
    }
}

void exports_kiln_plugin_cataloger_interests(exports_kiln_plugin_cataloger_list_interest_t *ret) {
    static text_t glob;
    static exports_kiln_plugin_cataloger_interest_t interest;
    glob = lit("**/vendored.txt");
    interest.id = lit("vendored"), interest.max_size = LARGEST;
    interest.globs.ptr = &glob, interest.globs.len = 1;
    ret->ptr = &interest, ret->len = 1;
}

bool exports_kiln_plugin_cataloger_catalog(exports_kiln_plugin_cataloger_list_matched_t *files,
                                           exports_kiln_plugin_cataloger_list_package_info_t *ret,
                                           exports_kiln_plugin_cataloger_error_t *err) {
    (void)err;
    for (size_t i = 0; i < files->len; i++)
        packages(files->ptr[i].path, files->ptr[i].content.ptr, files->ptr[i].content.len);
    ret->ptr = found.ptr, ret->len = found.len;
    return true;
}
