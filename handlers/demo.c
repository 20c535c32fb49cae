/* The demo page: put together from its embedded files once, sent with a policy that names its contents by hash. */
#include "handlers/demo.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include "core/embed.h"

EMBED(demo_html, "handlers/demo.html");
EMBED(demo_css, "handlers/demo.css");
EMBED(demo_link_js, "handlers/demo_link.js");
EMBED(demo_js, "handlers/demo.js");
EMBED(demo_forms_js, "handlers/demo_forms.js");

#define EMBEDDED(name) ((struct str){name, EMBED_LEN(name)})

/* Made once, read by all workers, never freed. */
static struct {
    struct buf style, script;
    struct buf with_forms, without_forms;
    char style_hash[48], script_hash[48]; /* base64 of SHA-256, NUL-terminated */
} demo;
static pthread_once_t demo_once = PTHREAD_ONCE_INIT;

static void hash_text(char dst[48], const struct buf *text)
{
    unsigned char digest[32];
    if (EVP_Digest(text->p, text->n, digest, NULL, EVP_sha256(), NULL) != 1)
        abort();
    EVP_EncodeBlock((unsigned char *)dst, digest, sizeof(digest));
}

/* The template with each {{name}} replaced; it is ours, so an unknown name cannot happen outside of a test. */
static void fill_template(struct buf *out, struct str rest_state)
{
    struct str left = EMBEDDED(demo_html);
    const struct {
        struct str name, value;
    } holes[] = {{STR_LIT("{{rest}}"), rest_state},
                 {STR_LIT("{{style}}"), buf_str(&demo.style)},
                 {STR_LIT("{{script}}"), buf_str(&demo.script)}};
    for (size_t i = 0; i < sizeof(holes) / sizeof(holes[0]); i++) {
        const char *at = memmem(left.p, left.n, holes[i].name.p, holes[i].name.n);
        if (at == NULL)
            abort();
        buf_append(out, (struct str){left.p, at - left.p});
        buf_append(out, holes[i].value);
        at += holes[i].name.n;
        left = (struct str){at, left.p + left.n - at};
    }
    buf_append(out, left);
}

static void demo_prepare(void)
{
    buf_append(&demo.style, EMBEDDED(demo_css));
    buf_append(&demo.script, EMBEDDED(demo_link_js));
    buf_append(&demo.script, EMBEDDED(demo_js));
    buf_append(&demo.script, EMBEDDED(demo_forms_js));
    hash_text(demo.style_hash, &demo.style);
    hash_text(demo.script_hash, &demo.script);
    fill_template(&demo.with_forms, STR_LIT("on"));
    fill_template(&demo.without_forms, STR_LIT("off"));
}

void demo_page(struct buf *out, bool rest)
{
    pthread_once(&demo_once, demo_prepare);
    buf_append(out, buf_str(rest ? &demo.with_forms : &demo.without_forms));
}

/* A name or IPv4 address with or without a port. Brackets are no host-source in a policy, and anything else could end
 * the directive. */
static bool host_fits_policy(struct str host)
{
    if (host.n == 0 || host.n > 255)
        return false;
    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];
        bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                    c == '-' || c == ':';
        if (!fits)
            return false;
    }
    return true;
}

void demo_policy(struct buf *out, struct str host)
{
    pthread_once(&demo_once, demo_prepare);
    buf_printf(out,
               "default-src 'none'; script-src 'sha256-%s'; style-src 'sha256-%s'; img-src data:; base-uri 'none'; "
               "form-action 'none'; frame-ancestors 'none'; connect-src 'self'",
               demo.script_hash, demo.style_hash);
    /* Older browsers do not count ws: of the same host as 'self'. */
    if (host_fits_policy(host))
        buf_printf(out, " ws://%.*s wss://%.*s", (int)host.n, host.p, (int)host.n, host.p);
}

static void add_header(h2o_req_t *req, const char *name, struct str value)
{
    h2o_iovec_t copy = h2o_strdup(&req->pool, value.p, value.n);
    h2o_add_header_by_str(&req->pool, &req->res.headers, name, strlen(name), 1, NULL, copy.base, copy.len);
}

static void send_redirect(h2o_req_t *req, const char *base_path)
{
    h2o_iovec_t location =
        h2o_concat(&req->pool, h2o_iovec_init(base_path, strlen(base_path)), h2o_iovec_init(H2O_STRLIT("/")));
    req->res.status = 308;
    req->res.reason = "Permanent Redirect";
    add_header(req, "location", (struct str){location.base, location.len});
    req->res.content_length = 0;
    h2o_send_inline(req, H2O_STRLIT(""));
}

static void send_page(h2o_req_t *req, bool rest)
{
    struct buf policy = {0};
    demo_policy(&policy, (struct str){req->authority.base, req->authority.len});
    req->res.status = 200;
    req->res.reason = "OK";
    add_header(req, "content-type", STR_LIT("text/html; charset=utf-8"));
    add_header(req, "content-security-policy", buf_str(&policy));
    add_header(req, "cache-control", STR_LIT("no-store"));
    add_header(req, "x-content-type-options", STR_LIT("nosniff"));
    add_header(req, "referrer-policy", STR_LIT("no-referrer"));
    buf_free(&policy);

    const struct buf *page = rest ? &demo.with_forms : &demo.without_forms;
    static h2o_generator_t nothing_more; /* the whole body goes in one piece */
    h2o_iovec_t body = h2o_iovec_init(page->p, page->n);
    req->res.content_length = page->n;
    h2o_start_response(req, &nothing_more);
    bool head = h2o_memis(req->method.base, req->method.len, H2O_STRLIT("HEAD"));
    h2o_send(req, &body, head ? 0 : 1, H2O_SEND_STATE_FINAL);
}

int demo_handle(h2o_req_t *req, const struct config *config)
{
    if (!config->demo)
        return -1;
    struct str path = {req->path.base, req->query_at == SIZE_MAX ? req->path.len : req->query_at};
    if (str_eq(path, str_of(config->base_path)))
        send_redirect(req, config->base_path);
    else
        send_page(req, config->api_listen.kind == LISTEN_UNSET);
    return 0;
}
