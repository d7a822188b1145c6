// A cache in a bucket: blobs below `blobs/`, manifests below `manifests/`, all in the folder that the user names.
//
// `cache_plugin.h` is made of wit/ by `kiln plugin build`. The memory is thrown away with the instance, so nothing here
// is ever freed, and text of the program may be part of an answer.

#include <string.h>

#include "cache_plugin.h"

#define LARGEST (4 << 20)

typedef cache_plugin_string_t text_t;
typedef exports_kiln_plugin_cache_error_t error_t;
typedef exports_kiln_plugin_cache_list_blob_ref_t blobs_t;

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

static text_t join(const text_t *parts, size_t count) {
    text_t out = {0};
    for (size_t i = 0; i < count; i++) out.len += parts[i].len;
    out.ptr = malloc(out.len), out.len = 0;
    for (size_t i = 0; i < count; out.len += parts[i++].len) memcpy(out.ptr + out.len, parts[i].ptr, parts[i].len);
    return out;
}

// Where everything is kept, with a slash at its end.
static text_t folder;

static text_t blob_key(text_t digest) {
    text_t key = join((text_t[]){folder, lit("blobs/"), digest}, 3);
    uint8_t *colon = memchr(key.ptr + key.len - digest.len, ':', digest.len);
    if (colon) *colon = '/';
    return key;
}

static text_t manifest_key(text_t name) { return join((text_t[]){folder, lit("manifests/"), name}, 3); }

// Tells whether the bucket has a blob in the right size; false with an error when it does not say.
static bool look(kiln_plugin_objects_own_bucket_t bucket, text_t *key, uint64_t size, bool *there, error_t *err) {
    kiln_plugin_objects_option_object_info_t found;
    if (!kiln_plugin_objects_method_bucket_head(kiln_plugin_objects_borrow_bucket(bucket), key, &found, err))
        return false;
    *there = found.is_some && found.val.size == size;
    return true;
}

bool exports_kiln_plugin_cache_open(exports_kiln_plugin_cache_list_attr_t *config, error_t *err) {
    folder = lit("");
    for (size_t i = 0; i < config->len; i++) {
        text_t key = config->ptr[i].key, value = config->ptr[i].value;
        if (key.len != 6 || memcmp(key.ptr, "folder", 6)) {
            err->tag = KILN_PLUGIN_TYPES_ERROR_INVALID;
            err->val.invalid = join((text_t[]){lit("unknown parameter `"), key, lit("`: expected folder")}, 3);
            return false;
        }
        while (value.len && value.ptr[0] == '/') value.ptr++, value.len--;
        while (value.len && value.ptr[value.len - 1] == '/') value.len--;
        folder = join((text_t[]){value, lit("/")}, 2);
    }
    return true;
}

bool exports_kiln_plugin_cache_plan_get(blobs_t *blobs, exports_kiln_plugin_cache_list_get_plan_t *ret, error_t *err) {
    kiln_plugin_objects_own_bucket_t bucket;
    if (!kiln_plugin_objects_open(&bucket, err)) return false;
    bool ok = true, there;
    ret->ptr = calloc(blobs->len, sizeof *ret->ptr), ret->len = blobs->len;
    for (size_t i = 0; ok && i < blobs->len; i++) {
        text_t key = blob_key(blobs->ptr[i].digest);
        ok = look(bucket, &key, blobs->ptr[i].size, &there, err);
        ret->ptr[i].tag = ok && there ? EXPORTS_KILN_PLUGIN_CACHE_GET_PLAN_OBJECT : EXPORTS_KILN_PLUGIN_CACHE_GET_PLAN_MISS;
        ret->ptr[i].val.object = key;
    }
    kiln_plugin_objects_bucket_drop_own(bucket);
    return ok;
}

bool exports_kiln_plugin_cache_plan_put(blobs_t *blobs, exports_kiln_plugin_cache_list_put_plan_t *ret, error_t *err) {
    kiln_plugin_objects_own_bucket_t bucket;
    if (!kiln_plugin_objects_open(&bucket, err)) return false;
    bool ok = true, there;
    ret->ptr = calloc(blobs->len, sizeof *ret->ptr), ret->len = blobs->len;
    for (size_t i = 0; ok && i < blobs->len; i++) {
        text_t key = blob_key(blobs->ptr[i].digest);
        ok = look(bucket, &key, blobs->ptr[i].size, &there, err);
        ret->ptr[i].tag = ok && there ? EXPORTS_KILN_PLUGIN_CACHE_PUT_PLAN_PRESENT : EXPORTS_KILN_PLUGIN_CACHE_PUT_PLAN_OBJECT;
        ret->ptr[i].val.object = key;
    }
    kiln_plugin_objects_bucket_drop_own(bucket);
    return ok;
}

bool exports_kiln_plugin_cache_get_manifest(text_t *name, cache_plugin_option_list_u8_t *ret, error_t *err) {
    kiln_plugin_objects_own_bucket_t bucket;
    if (!kiln_plugin_objects_open(&bucket, err)) return false;
    text_t key = manifest_key(*name);
    bool ok = kiln_plugin_objects_method_bucket_get(kiln_plugin_objects_borrow_bucket(bucket), &key, LARGEST, ret, err);
    kiln_plugin_objects_bucket_drop_own(bucket);
    return ok;
}

bool exports_kiln_plugin_cache_put_manifest(text_t *name, cache_plugin_list_u8_t *data, error_t *err) {
    kiln_plugin_objects_own_bucket_t bucket;
    if (!kiln_plugin_objects_open(&bucket, err)) return false;
    text_t key = manifest_key(*name);
    kiln_plugin_objects_condition_t always = {.tag = KILN_PLUGIN_OBJECTS_CONDITION_ALWAYS};
    bool written, ok = kiln_plugin_objects_method_bucket_put(kiln_plugin_objects_borrow_bucket(bucket), &key, data,
                                                             &always, &written, err);
    kiln_plugin_objects_bucket_drop_own(bucket);
    return ok;
}

bool exports_kiln_plugin_cache_commit(blobs_t *blobs, error_t *err) {
    (void)blobs, (void)err;
    return true;
}
