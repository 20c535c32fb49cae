/* The names of connections: a new one's own, or one that it takes over from an older socket; and who is told of them.
 */
#include "handlers/internal.h"
#include "core/clock.h"
#include "core/random_id.h"
#include <stdlib.h>

#define USER_AGENT_MAX 200

static struct identity identity_of(const struct ws_conn *c, struct str id)
{
    return (struct identity){
        .id = id,
        .user = conn_user(c),
        .gen = c->gen,
        .address = c->remote,
        .user_agent = intern_str(c->agent),
        .since_ms = clock_unix_ms() - (c->edge->now_ms - c->opened_ms),
    };
}

void conn_follow_own(struct ws_conn *c, struct str id, uint32_t gen)
{
    struct edge *e = c->edge;
    struct hub_channel *channel = hub_get(&e->hub, HUB_CONNECTION, id);
    c->gen = gen;
    hub_join(channel, &c->follows[HUB_CONNECTION]);
    pubsub_follow(e->pubsub, channel);
}

static void say_registered(struct ws_conn *c)
{
    struct identity i = identity_of(c, conn_id(c));
    pubsub_register(c->edge->pubsub, &i);
}

void conn_note_client(struct ws_conn *c, const uint8_t address[16], struct str user_agent)
{
    char clean[USER_AGENT_MAX];
    memcpy(c->remote, address, sizeof(c->remote));
    c->agent = intern_hold(&c->edge->user_agents, (struct str){clean, utf8_clean(clean, sizeof(clean), user_agent)});
}

void conn_enter(struct ws_conn *c, struct str claimed)
{
    char id[RANDOM_ID_LEN];
    random_id(id);
    struct str own = {id, sizeof(id)};
    if (random_id_valid(claimed)) {
        struct identity i = identity_of(c, own);
        ++c->refs;
        pubsub_claim(c->edge->pubsub, claimed, &i, c);
    } else {
        conn_follow_own(c, own, 1);
        say_registered(c);
    }
}

void conn_exit(struct ws_conn *c, uint16_t code)
{
    if (c->follows[HUB_CONNECTION].channel == NULL)
        return;
    struct identity i = identity_of(c, conn_id(c));
    i.code = code;
    i.duration_ms = c->edge->now_ms - c->opened_ms;
    pubsub_unregister(c->edge->pubsub, &i);
}

/* --- what pubsub/ answers -------------------------------------------------------------------------------------------
 */

bool edge_on_claim_due(void *data, void *claim)
{
    struct ws_conn *c = claim;
    (void)data;
    if (c->state < CONN_CLOSING)
        return true;
    --c->refs;
    return false;
}

/* A close order may have come before this answer and found nobody: so what was claimed is registered once more, which
 * compares its gen with what Redis has by then. */
bool edge_on_claimed(void *data, void *claim, const struct identity_claimed *r)
{
    struct ws_conn *c = claim;
    --c->refs;
    if (c->state >= CONN_CLOSING)
        return false;
    conn_follow_own(c, r->id, r->gen);
    c->registered = true;
    c->resumed = r->resumed;
    if (r->resumed) {
        edge_on_superseded(data, c->follows[HUB_CONNECTION].channel, r->gen);
        say_registered(c);
    }
    conn_wake(c);
    return true;
}

/* Redis had it in this epoch and has it no more: it counted as away for so long that its log was dropped. In another
 * epoch the page tells whether something is lost. */
static bool is_forgotten(const struct ws_conn *c, enum registered how, uint16_t known_in)
{
    return how == REGISTERED_NEW && c->known_in == known_in;
}

void edge_on_registered(void *data, struct hub_channel *channel, enum registered how, uint64_t epoch)
{
    uint16_t known_in = epoch != 0 ? (uint16_t)(epoch | 1) : 0;
    (void)data;
    for (struct hub_member *m = channel->members; m != NULL; m = m->next) {
        struct ws_conn *c = conn_of_member(m);
        bool forgotten = is_forgotten(c, how, known_in) && known_in != 0;
        if (how != REGISTERED_REFUSED)
            c->known_in = known_in;
        if (!c->registered) {
            c->registered = true;
            conn_wake(c);
        } else if (forgotten && c->welcomed) {
            conn_lost_log(c);
        }
    }
}

void edge_on_superseded(void *data, struct hub_channel *channel, uint32_t gen)
{
    struct hub_member *next;
    (void)data;
    for (struct hub_member *m = channel->members; m != NULL; m = next) {
        struct ws_conn *c = conn_of_member(m);
        next = m->next;
        if (c->gen < gen)
            conn_close(c, 4409, "this connection_id was resumed by a newer socket");
    }
}

void edge_on_disconnect(void *data, struct hub_channel *channel, uint32_t gen, struct str reason)
{
    struct hub_member *next;
    char *text = str_dup(reason);
    (void)data;
    for (struct hub_member *m = channel->members; m != NULL; m = next) {
        struct ws_conn *c = conn_of_member(m);
        next = m->next;
        if (c->gen <= gen)
            conn_close(c, 4403, text);
    }
    free(text);
}

/* Of several with this name, which an older one has yet to leave, the newest. */
bool edge_on_question(void *data, struct hub_channel *channel, struct presence_now *out)
{
    struct edge *e = data;
    struct ws_conn *c = NULL;
    for (struct hub_member *m = channel->members; m != NULL; m = m->next)
        if (c == NULL || conn_of_member(m)->gen > c->gen)
            c = conn_of_member(m);
    if (c == NULL)
        return false;
    *out = (struct presence_now){
        .state = !c->welcomed            ? PRESENCE_CONNECTING
                 : c->state == CONN_LIVE ? PRESENCE_LIVE
                                         : PRESENCE_CATCHING_UP,
        .last_seen_ms = clock_unix_ms() - (e->now_ms - c->seen_ms),
        .position = conn_position(c),
    };
    return true;
}

void edge_on_register_all(void *data)
{
    struct edge *e = data;
    e->register_left = e->conns.n;
}

/* Downwards: a connection that ends leaves its place to the last one, which has had its turn. */
void edge_register(struct edge *e)
{
    if (e->register_left > e->conns.n)
        e->register_left = e->conns.n;
    while (e->register_left != 0 && pubsub_register_room(e->pubsub)) {
        struct ws_conn *c = e->conns.entries[--e->register_left];
        if (c->follows[HUB_CONNECTION].channel != NULL)
            say_registered(c);
    }
}
