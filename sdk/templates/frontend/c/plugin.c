// A frontend for images of Debian packages, files and a command, written down as a small part of YAML.
//
// `frontend_plugin.h` is made of wit/ by `kiln plugin build`. Each call gets a memory of its own that is thrown away
// afterwards, so nothing here is ever freed, and text of the program may be part of an answer.

#include <stdarg.h>
#include <string.h>

#include "frontend_plugin.h"

#define MOST 256

typedef frontend_plugin_string_t text_t;
typedef exports_kiln_plugin_frontend_failure_t failure_t;

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

// Texts are literals, slices of the build file, and what is put together of them.
static text_t lit(const char *text) { return (text_t){(uint8_t *)text, strlen(text)}; }

static text_t join(int count, ...) {
    va_list parts, again;
    va_start(parts, count);
    va_copy(again, parts);
    size_t length = 0;
    for (int i = 0; i < count; i++) length += va_arg(again, text_t).len;
    text_t out = {malloc(length), 0};
    for (int i = 0; i < count; i++) {
        text_t part = va_arg(parts, text_t);
        memcpy(out.ptr + out.len, part.ptr, part.len);
        out.len += part.len;
    }
    va_end(again);
    va_end(parts);
    return out;
}

static bool is(text_t a, const char *b) { return a.len == strlen(b) && memcmp(a.ptr, b, a.len) == 0; }
static bool blank(uint8_t c) { return c == ' ' || c == '\t' || c == '\r'; }

static text_t trim(text_t t) {
    while (t.len && blank(t.ptr[0])) t.ptr++, t.len--;
    while (t.len && blank(t.ptr[t.len - 1])) t.len--;
    return t;
}

// Cuts `line` at the first `mark`; false without one.
static bool cut(text_t line, char mark, text_t *before, text_t *after) {
    uint8_t *at = memchr(line.ptr, mark, line.len);
    if (!at) return false;
    *before = trim((text_t){line.ptr, at - line.ptr});
    *after = trim((text_t){at + 1, line.ptr + line.len - at - 1});
    return true;
}

// An error; line 0 is none of the build file's.
static bool fail(failure_t *err, uint32_t line, text_t message) {
    memset(err, 0, sizeof *err);
    err->diagnostics.ptr = calloc(1, sizeof *err->diagnostics.ptr);
    err->diagnostics.len = 1;
    err->diagnostics.ptr->message = message;
    if (line) {
        kiln_plugin_types_span_t *span = calloc(1, sizeof *span);
        *span = (kiln_plugin_types_span_t){0, {line, 1}, {line + 1, 1}};
        err->diagnostics.ptr->spans.ptr = span;
        err->diagnostics.ptr->spans.len = 1;
    }
    return false;
}

struct image {
    text_t base, command, packages[MOST], from[MOST], to[MOST];
    uint32_t base_line;
    size_t package_count, file_count;
};

static bool parse(text_t rest, struct image *image, failure_t *err) {
    text_t line, key, value, section = lit("");
    for (uint32_t number = 1; rest.len; number++) {
        uint8_t *end = memchr(rest.ptr, '\n', rest.len);
        size_t length = end ? (size_t)(end - rest.ptr) : rest.len, step = end ? length + 1 : length;
        line = (text_t){rest.ptr, length};
        rest.ptr += step, rest.len -= step;
        bool inside = line.len && line.ptr[0] == ' ';
        text_t item = trim(line);
        if (!item.len || item.ptr[0] == '#') continue;
        if (image->package_count == MOST || image->file_count == MOST) return fail(err, number, lit("too many items"));
        if (inside && is(section, "packages")) {
            if (item.len < 2 || memcmp(item.ptr, "- ", 2)) return fail(err, number, lit("expected `- PACKAGE`"));
            image->packages[image->package_count++] = trim((text_t){item.ptr + 2, item.len - 2});
            continue;
        }
        bool pair = cut(item, ':', &key, &value);
        if (inside && is(section, "files")) {
            if (!pair) return fail(err, number, lit("expected `FILE: PATH`"));
            image->from[image->file_count] = key;
            image->to[image->file_count++] = value;
            continue;
        }
        if (!pair) return fail(err, number, lit("expected `KEY: VALUE`"));
        if (is(key, "base")) image->base = value, image->base_line = number;
        else if (is(key, "command")) image->command = value;
        else if (!is(key, "packages") && !is(key, "files"))
            return fail(err, number,
                        join(3, lit("unknown key `"), key, lit("`: expected base, packages, files or command")));
        section = key;
    }
    if (!image->base.len) return fail(err, 1, lit("`base` is missing: it names the image to start from"));
    return true;
}

static kiln_plugin_types_platform_t platform;
static kiln_plugin_graph_vertex_t vertices[4];
static uint32_t vertex_count;

static kiln_plugin_graph_input_t add(kiln_plugin_graph_op_t op, text_t name) {
    vertices[vertex_count] = (kiln_plugin_graph_vertex_t){.op = op, .platform = {true, platform}, .name = name};
    return (kiln_plugin_graph_input_t){vertex_count++, 0};
}

static kiln_plugin_graph_op_t source(text_t identifier) {
    return (kiln_plugin_graph_op_t){KILN_PLUGIN_GRAPH_OP_SOURCE, {.source = {.identifier = identifier}}};
}

static kiln_plugin_graph_op_t install(text_t packages, kiln_plugin_graph_input_t rootfs) {
    kiln_plugin_graph_mount_t *root = calloc(1, sizeof *root);
    *root = (kiln_plugin_graph_mount_t){.input = {true, rootfs}, .dest = lit("/"), .output = {true, 0}};
    text_t *args = calloc(3, sizeof *args), *env = calloc(2, sizeof *env);
    args[0] = lit("/bin/sh"), args[1] = lit("-c");
    args[2] = join(2, lit("apt-get update && apt-get install --yes --no-install-recommends "), packages);
    env[0] = lit("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    env[1] = lit("DEBIAN_FRONTEND=noninteractive");
    kiln_plugin_graph_exec_t exec = {.args = {args, 3}, .env = {env, 2}, .cwd = lit("/"), .mounts = {root, 1}};
    return (kiln_plugin_graph_op_t){KILN_PLUGIN_GRAPH_OP_EXEC, {.exec = exec}};
}

static kiln_plugin_graph_op_t copies(struct image *image, kiln_plugin_graph_input_t context,
                                     kiln_plugin_graph_input_t rootfs) {
    size_t count = image->file_count;
    kiln_plugin_graph_file_action_t *actions = calloc(count, sizeof *actions);
    for (size_t i = 0; i < count; i++) {
        actions[i].on.tag = i ? KILN_PLUGIN_GRAPH_FILE_INPUT_ACTION : KILN_PLUGIN_GRAPH_FILE_INPUT_VERTEX;
        if (i) actions[i].on.val.action = i - 1;
        else actions[i].on.val.vertex = rootfs;
        actions[i].act.val.copy = (kiln_plugin_graph_copy_action_t){
            .from = {KILN_PLUGIN_GRAPH_FILE_INPUT_VERTEX, {.vertex = context}},
            .src = join(2, lit("/"), image->from[i]), .dest = image->to[i], .mode = {true, 0755},
            .follow_symlink = true, .dir_copy_contents = true, .create_dest_path = true};
        actions[i].output.is_some = i + 1 == count;
    }
    return (kiln_plugin_graph_op_t){KILN_PLUGIN_GRAPH_OP_FILE, {.file = {actions, count}}};
}

static text_t escaped(text_t text) {
    text_t out = {malloc(text.len * 2), 0};
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"' || text.ptr[i] == '\\') out.ptr[out.len++] = '\\';
        out.ptr[out.len++] = text.ptr[i];
    }
    return out;
}

static text_t words(text_t *list, size_t count) {
    text_t out = count ? list[0] : lit("");
    for (size_t i = 1; i < count; i++) out = join(3, out, lit(" "), list[i]);
    return out;
}

static bool lower(struct image *image, exports_kiln_plugin_frontend_lowered_t *ret, failure_t *err) {
    kiln_plugin_build_resolved_image_t resolved;
    kiln_plugin_build_error_t refused;
    text_t none = lit(""), identifier = join(2, lit("docker-image://"), image->base);
    if (!kiln_plugin_build_resolve_image(&identifier, &platform, &none, &none, &resolved, &refused))
        return fail(err, image->base_line, refused.val.other);
    identifier = join(2, lit("docker-image://"), resolved.reference);
    kiln_plugin_graph_input_t rootfs = add(source(identifier), join(2, lit("from "), image->base));
    if (image->package_count) {
        text_t packages = words(image->packages, image->package_count);
        rootfs = add(install(packages, rootfs), join(2, lit("install "), packages));
    }
    if (image->file_count) {
        kiln_plugin_graph_input_t context = add(source(lit("local://context")), lit("load the context"));
        text_t name = join(2, lit("copy "), words(image->from, image->file_count));
        rootfs = add(copies(image, context, rootfs), name);
    }
    kiln_plugin_lowering_output_t *output = calloc(1, sizeof *output);
    text_t config = join(7, lit("{\"architecture\":\""), platform.architecture, lit("\",\"os\":\""), platform.os,
                         lit("\",\"config\":{\"Cmd\":[\"/bin/sh\",\"-c\",\""), escaped(image->command),
                         lit("\"]}}"));
    output->platform.is_some = output->result.is_some = true;
    output->platform.val = platform;
    output->result.val = rootfs;
    output->config.ptr = config.ptr, output->config.len = config.len;
    memset(ret, 0, sizeof *ret);
    ret->definition.vertices.ptr = vertices, ret->definition.vertices.len = vertex_count;
    ret->outputs.ptr = output, ret->outputs.len = 1;
    return true;
}

void exports_kiln_plugin_frontend_describe(exports_kiln_plugin_frontend_description_t *ret) {
    *ret = (exports_kiln_plugin_frontend_description_t){.name = lit("PLUGIN_NAME"), .version = lit("0.1")};
}

bool exports_kiln_plugin_frontend_lower(exports_kiln_plugin_frontend_request_t *request,
                                        exports_kiln_plugin_frontend_borrow_tree_t files,
                                        exports_kiln_plugin_frontend_lowered_t *ret, failure_t *err) {
    frontend_plugin_list_u8_t data;
    kiln_plugin_content_error_t refused;
    static struct image image;
    bool there = kiln_plugin_content_method_tree_read(files, &request->source_name, 1 << 20, &data, &refused);
    kiln_plugin_content_tree_drop_borrow(files);
    if (!there) return fail(err, 0, refused.val.other);
    platform = request->platforms.len ? request->platforms.ptr[0] : request->build_platform;
    if (parse((text_t){data.ptr, data.len}, &image, err) && lower(&image, ret, err)) return true;
    kiln_plugin_types_source_file_t *file = calloc(1, sizeof *file);
    *file = (kiln_plugin_types_source_file_t){request->source_name, lit("yaml"), data};
    err->sources.ptr = file, err->sources.len = 1;
    return false;
}

bool exports_kiln_plugin_frontend_subrequest(text_t *id, exports_kiln_plugin_frontend_request_t *request,
                                             exports_kiln_plugin_frontend_borrow_tree_t files,
                                             exports_kiln_plugin_frontend_answer_t *ret, failure_t *err) {
    (void)request, (void)ret;
    kiln_plugin_content_tree_drop_borrow(files);
    return fail(err, 0, join(3, lit("unsupported request `"), *id, lit("`")));
}
