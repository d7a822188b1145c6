// A scanner for `vendored.txt`: lines with name, version and licence of software that was copied into a tree.
//
// `scanner_plugin.h` is made of wit/ by `kiln plugin build`. Each call gets a memory of its own that is thrown away
// afterwards, so nothing here is ever freed, and text of the program may be part of an answer.

#include <string.h>

#include "scanner_plugin.h"

#define LARGEST (1 << 20)

typedef scanner_plugin_string_t text_t;
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

bool exports_kiln_plugin_scanner_scan(exports_kiln_plugin_scanner_borrow_tree_t root,
                                      exports_kiln_plugin_scanner_list_attr_t *options,
                                      exports_kiln_plugin_scanner_report_t *ret,
                                      exports_kiln_plugin_scanner_error_t *err) {
    (void)options;
    text_t pattern = lit("**/vendored.txt"), *after = NULL;
    scanner_plugin_list_string_t patterns = {&pattern, 1};
    scanner_plugin_list_u8_t content;
    kiln_plugin_content_list_entry_t page;
    bool ok;
    while ((ok = kiln_plugin_content_method_tree_glob(root, &patterns, after, 0, &page, err)) && page.len) {
        after = &page.ptr[page.len - 1].path;
        for (size_t i = 0; ok && i < page.len; i++) {
            if (page.ptr[i].size > LARGEST) continue;
            ok = kiln_plugin_content_method_tree_read(root, &page.ptr[i].path, LARGEST, &content, err);
            if (ok) packages(page.ptr[i].path, content.ptr, content.len);
        }
        if (!ok) break;
    }
    kiln_plugin_content_tree_drop_borrow(root);
    memset(ret, 0, sizeof *ret);
    ret->packages.ptr = found.ptr, ret->packages.len = found.len;
    return ok;
}
