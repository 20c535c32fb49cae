/* Strict checks of an HTTP request: path segments, query parameters, cookies and the raw head. */
#include "core/http_request.h"
#include "core/utf8.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool is_control(char c)
{
    return (uint8_t)c < 0x20 || c == 0x7f;
}

/* Decodes percent escapes once. False for a broken escape, a control character (NUL too) and what is not UTF-8. */
static bool percent_decode(struct str s, char *dst, size_t *n)
{
    *n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (c == '%') {
            int hi = i + 2 < s.n ? hex_value(s.p[i + 1]) : -1, lo = hi >= 0 ? hex_value(s.p[i + 2]) : -1;

            if (lo < 0)
                return false;
            c = (char)(hi << 4 | lo);
            i += 2;
        }
        if (is_control(c))
            return false;
        dst[(*n)++] = c;
    }
    return utf8_valid((struct str){dst, *n});
}

static bool is_dots(struct str s)
{
    return str_eq(s, STR_LIT(".")) || str_eq(s, STR_LIT(".."));
}

int path_split(struct str path, struct str base, char *storage, struct str segments[PATH_SEGMENTS_MAX])
{
    struct str rest = str_split(&path, '?'); /* what follows is the query */
    int n = 0;

    if (rest.n == 0 || !str_starts_with(rest, base))
        return -1;
    rest = (struct str){rest.p + base.n, rest.n - base.n};
    if (rest.n > 0 && rest.p[0] != '/')
        return -1;
    if (rest.n <= 1)
        return 0;
    rest = (struct str){rest.p + 1, rest.n - 1};
    while (rest.p != NULL) {
        size_t len;

        if (n == PATH_SEGMENTS_MAX)
            return -3;
        if (!percent_decode(str_split(&rest, '/'), storage, &len))
            return -2;
        segments[n] = (struct str){storage, len};
        if (is_dots(segments[n++]))
            return -2;
        storage += len;
    }
    return n;
}

int query_get(struct str query, const char *name, char *storage, struct str *out)
{
    while (query.p != NULL) {
        struct str value = str_split(&query, '&'), key = str_split(&value, '=');
        size_t len;

        if (!str_eq(key, str_of(name)))
            continue;
        if (!percent_decode(value, storage, &len))
            return -1;
        *out = (struct str){storage, len};
        return 1;
    }
    return 0;
}

bool cookie_get(struct str cookies, const char *name, struct str *out)
{
    while (cookies.p != NULL) {
        struct str value = str_split(&cookies, ';'), key = str_trim(str_split(&value, '='));

        if (value.p == NULL || !str_eq(key, str_of(name)))
            continue;
        value = str_trim(value);
        if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
            value = (struct str){value.p + 1, value.n - 2}; /* RFC 6265 4.1.1: cookie-value may stand in quotes */
        *out = value;
        return true;
    }
    return false;
}

/* What of a head decides where its body ends and whom it is for. */
struct head_facts {
    unsigned hosts, content_lengths, transfer_encodings;
    bool http11;
};

/* RFC 9110 5.6.2 */
static bool is_token_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!is_token_char(s.p[i]))
            return false;
    }
    return s.n > 0;
}

static bool is_digits(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    }
    return s.n > 0;
}

static bool has_control(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (is_control(s.p[i]) && s.p[i] != '\t')
            return true;
    }
    return false;
}

/* method SP target SP version: RFC 9112 3. Two spaces and no more, so that nobody cuts it elsewhere. */
static const char *judge_request_line(struct str line, struct head_facts *f)
{
    struct str method = str_split(&line, ' '), target = str_split(&line, ' ');

    f->http11 = str_eq(line, STR_LIT("HTTP/1.1"));
    if (!is_token(method) || target.n == 0 || has_control(target) || memchr(target.p, '\t', target.n) != NULL)
        return "malformed request line";
    if (!f->http11 && !str_eq(line, STR_LIT("HTTP/1.0")))
        return "neither HTTP/1.1 nor HTTP/1.0";
    return NULL;
}

static const char *judge_content_length(struct str value, struct head_facts *f)
{
    if (f->content_lengths++ > 0)
        return "more than one Content-Length";
    if (!is_digits(value))
        return "Content-Length is not a number";
    if (value.n > 18)
        return "Content-Length is too large";
    return NULL;
}

static const char *judge_transfer_encoding(struct str value, struct head_facts *f)
{
    if (f->transfer_encodings++ > 0)
        return "more than one Transfer-Encoding";
    if (!str_ieq(value, STR_LIT("chunked")))
        return "Transfer-Encoding is not just chunked";
    return NULL;
}

/* RFC 9112 5 */
static const char *judge_field(struct str line, struct head_facts *f)
{
    struct str value = line, name = str_split(&value, ':');

    if (line.p[0] == ' ' || line.p[0] == '\t')
        return "folded line";
    if (value.p == NULL)
        return "field without a colon";
    if (name.n > 0 && (name.p[name.n - 1] == ' ' || name.p[name.n - 1] == '\t'))
        return "white space before the colon";
    if (!is_token(name))
        return "malformed field name";
    if (has_control(value))
        return "control character in a field";
    value = str_trim(value);
    if (str_ieq(name, STR_LIT("content-length")))
        return judge_content_length(value, f);
    if (str_ieq(name, STR_LIT("transfer-encoding")))
        return judge_transfer_encoding(value, f);
    if (str_ieq(name, STR_LIT("host")) && f->hosts++ > 0)
        return "more than one Host";
    return NULL;
}

static const char *judge_framing(const struct head_facts *f)
{
    if (f->http11 && f->hosts == 0)
        return "no Host";
    if (f->transfer_encodings > 0 && f->content_lengths > 0)
        return "Transfer-Encoding with Content-Length";
    if (f->transfer_encodings > 0 && !f->http11)
        return "Transfer-Encoding in HTTP/1.0";
    return NULL;
}

/* Cuts a line off *rest, which ends in CR LF. NULL, or how the line ends otherwise. */
static const char *take_line(struct str *rest, struct str *line)
{
    const char *lf = memchr(rest->p, '\n', rest->n);
    size_t n = lf != NULL ? (size_t)(lf - rest->p) : rest->n;

    if (memchr(rest->p, '\0', n) != NULL)
        return "NUL in the head";
    if (lf == NULL)
        return "head without an end";
    if (n == 0 || rest->p[n - 1] != '\r')
        return "line that ends in a bare LF";
    *line = (struct str){rest->p, n - 1};
    if (memchr(line->p, '\r', line->n) != NULL)
        return "bare CR";
    *rest = (struct str){rest->p + n + 1, rest->n - n - 1};
    return NULL;
}

const char *http_head_problem(struct str head)
{
    struct head_facts f = {0};
    struct str line;
    const char *problem;

    if (str_starts_with(head, STR_LIT("\r\n"))) /* RFC 9112 2.2: one empty line before a request is ignored */
        head = (struct str){head.p + 2, head.n - 2};
    if (head.n == 0)
        return "head without an end";
    if ((problem = take_line(&head, &line)) != NULL || (problem = judge_request_line(line, &f)) != NULL)
        return problem;
    for (;;) {
        if (head.n == 0)
            return "head without an end";
        if ((problem = take_line(&head, &line)) != NULL)
            return problem;
        if (line.n == 0)
            break;
        if ((problem = judge_field(line, &f)) != NULL)
            return problem;
    }
    return head.n == 0 ? judge_framing(&f) : "bytes behind the end of the head";
}
