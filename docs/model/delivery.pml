/* The delivery protocol, to be checked by spin: docs/model/README.md tells what is modelled, what is claimed and how it
 * is run. Top to bottom: bounds and faults, what Redis holds, what a worker holds, what a connection holds, what the
 * client has really got; then the rules, each as one process.
 *
 * One client follows the broadcast log and its own: its user's, and with OWN_LOG its connection's. Redis and the workers
 * are real processes; the client drops, and comes back to any worker, with the position that came last. */

/* --- bounds: how much may happen in one run ------------------------------------------------------------------------ */
#ifndef WORKERS
#define WORKERS 1
#endif
#ifndef EPOCHS
#define EPOCHS 1        /* epochs that ids can have; 1: no history is ever lost */
#endif
#ifndef EVENTS
#define EVENTS 3        /* published, in all */
#endif
#ifndef SEQS
#define SEQS (EVENTS + 1)
#endif
#ifndef KINDS
#define KINDS (ALL | USER)  /* what is published, see below */
#endif
#ifndef OWN_LOG
#define OWN_LOG 0       /* 1: the client's connection has a log and a channel too */
#endif
#ifndef PAGE
#define PAGE 1          /* entries of one log in a page */
#endif
#ifndef TAPE
#define TAPE 2          /* broadcasts that a worker's tape holds */
#endif
#ifndef LIST
#define LIST 1          /* targeted frames that wait in a connection's list */
#endif
#ifndef WIRE
#define WIRE 1          /* frames between the server and a client that does not read */
#endif
#ifndef TRIMS
#define TRIMS 0         /* log entries that MAXLEN takes */
#endif
#ifndef FLOORS
#define FLOORS 0        /* times that the floor rises by one */
#endif
#ifndef ERASES
#define ERASES 0        /* times that the user's log is erased; each takes a seq */
#endif
#ifndef FAILOVERS
#define FAILOVERS 0     /* times that Redis loses a tail of its history (nothing, too) */
#endif
#ifndef REPLIDS
#define REPLIDS 0       /* times that the replid changes under living connections */
#endif
#ifndef DELETES
#define DELETES 0       /* times that ws:head is deleted; each takes a seq */
#endif
#ifndef LOSSES
#define LOSSES 0        /* times that a subscriber connection breaks */
#endif
#ifndef BREAKS
#define BREAKS 0        /* times that a command connection breaks */
#endif
#ifndef DROPS
#define DROPS 0         /* times that the client's line breaks */
#endif
#ifndef PINGS
#define PINGS 0
#endif
#ifndef UNFOLLOWS
#define UNFOLLOWS 0     /* times that a channel without followers is unsubscribed */
#endif
#define QUEUE 10        /* messages on their way to a worker: more than a run of these bounds leaves unread */

/* What an event is addressed to; one publish may have several. KINDS chooses from these. */
#define ALL 1           /* everybody */
#define USER 2          /* the client's user */
#define OTHER 4         /* another user, of whom each worker holds a connection */
#define OTHER_USER 8    /* both, the other's channel first */
#define USER_ALL 16     /* the client's user by name, and then everybody */
#define ALL_USER 32     /* the other way round: the script allows it */
#define KEPT_NOWHERE 64 /* the client's user, "replay": false */
#define OWN 128         /* the client's connection; needs OWN_LOG */

/* --- planted faults: -DFAULT=name breaks one rule; with -DFAULT_AT_RUN the verifier takes its number from the
 * environment, so that one build does for all of them -------------------------------------------------------------- */
#ifdef FAULT_AT_RUN
c_decl { \#include <stdlib.h> };
byte fault;
#define FAULT fault
#endif
#ifndef FAULT
#define FAULT none
#endif
#define none 0
#define L_ignores_mark 1
#define L_ignores_full_page 2
#define head_of_another_page 3
#define targeted_raises_mark_to_itself 4
#define canary_raises_mark_in_gap 5
#define page_before_confirmation 6
#define overflow_forgets_dropped 7
#define overflow_keeps_list_open 8
#define reach_not_checked_while_writing 9
#define read_in_gap 10
#define mark_kept_across_loss 11
#define floor_ignored 12
#define prev_ignored 13
#define ends_ignored 14
#define every_old_epoch_refused 15
#define ahead_judged_by_mark 16
#define position_moves_to_L_early 17
#define position_is_mark_while_waiting 18
#define live_frames_not_skipped 19
#define merge_writes_twice 20
#define end_not_noted 21
#define epoch_by_seq_only 22
#define tape_not_cut 23
#define other_users_frame 24
#define old_replies_read 25
#define live_below_mark 26
#define live_without_reach 27
#define live_above_L_ignored 28
#define live_after_full_page 29
#define welcome_carries_head 30
#define resync_carries_newer_head 31
#define hole_ignored 32
#define gap_closed_by_full_page 33
#define user_not_resubscribed 34
#define live_across_loss 35
#define head_read_before_confirmation 36
#define position_forgets_ping 37
#define tape_log_judged 38
#define frame_of_new_epoch_passes 39
#define page_of_new_epoch_passes 40
#define erased_without_marker 41
#define reach_not_checked_when_live 43
#define tape_takes_what_it_has 44
#define resync_does_not_skip 45
#define head_deleted_keeps_floor 46
#define unfollowed_still_ready 47
#define welcome_from_before_confirmation 48
#define pages_without_end 49

/* --- ids ------------------------------------------------------------------------------------------------------------
 * A position <epoch>-<seq> is the number epoch * SEQS + seq, so positions compare as numbers and (e, s - 1) is the one
 * before; 0 is 0-0. A set of ids is a bit mask; there are at most 30. */
#define LAST (EPOCHS * SEQS - 1)
#define EPOCH(p) ((p) / SEQS)
#define SEQ(p) ((p) % SEQS)
#define BIT(p) (1 << (p))
#define UPTO(p) ((2 << (p)) - 1)
#define ABOVE(p) (~UPTO(p))
#define MAX(a, b) ((a) > (b) -> (a) : (b))
#define MIN(a, b) ((a) < (b) -> (a) : (b))
#define NONE 255

hidden byte i;
inline lowest(set, out)
{
    out = 0; i = 1;
    do
    :: i <= LAST && out == 0 -> if :: (set) & BIT(i) -> out = i :: else fi; i++
    :: else -> break
    od;
    i = 0
}
inline highest(set, out)
{
    out = 0; i = LAST;
    do
    :: i >= 1 && out == 0 -> if :: (set) & BIT(i) -> out = i :: else fi; i--
    :: else -> break
    od;
    i = 0
}

/* --- Redis ---------------------------------------------------------------------------------------------------------- */
#define BROADCAST 0     /* logs and channels by number; OTHERS has a channel only, as far as the client is concerned */
#define USERS 1
#define CONNECTION 2
#define OTHERS 3
#define LOGS (2 + OWN_LOG)

byte head;              /* ws:head: epoch and seq */
bool head_gone;         /* ws:head is deleted */
bool new_replid;        /* the replid differs from that of ws:head */
byte floor;             /* the last seq that may be gone */
byte ends[EPOCHS] = NONE;   /* ws:epochs: where an epoch ended */
byte epoch_used;        /* unix milliseconds: no epoch is opened twice, whatever was lost */
int published[4];       /* ids ever sent to a channel, for ghosts and for `prev` */
int logged[3];          /* those that had a log entry; a marker too */
int kept[3];            /* those whose entry is still there */
int frameless;          /* markers of an erasure */

/* The subscriber connections: what Redis has subscribed, and what is on its way to the worker. */
#define NODE 4
#define CANARY 4        /* messages are (channel, id); a canary comes by the node channel */
#define CONFIRM 5       /* + channel */
byte subscribed[WORKERS];
chan queue[WORKERS] = [QUEUE] of { byte, byte };

/* budgets */
byte events = EVENTS, trims = TRIMS, floors = FLOORS, erases = ERASES, failovers = FAILOVERS, replids = REPLIDS,
     deletes = DELETES, losses = LOSSES, breaks = BREAKS, drops = DROPS, pings = PINGS, unfollows = UNFOLLOWS;

/* --- workers -------------------------------------------------------------------------------------------------------- */
typedef Worker {
    bool confirmed;     /* ws:broadcast, on the present subscriber connection */
    bool gap;           /* the tape still lacks what came while there was none */
    byte mark;
    byte arrived;       /* the highest id that has arrived */
    int tape;           /* the broadcasts on it */
    byte lost;          /* the tape reaches back to here: the last id that it has lost */
    byte asked;         /* bits of the client's channels: SUBSCRIBE is sent */
    byte ready;         /* and confirmed */
    bool heard;         /* something has arrived since the last confirmation of them */
    bool canary_due;    /* one follows the pages of this turn */
    bool canary_out;    /* one is on its way back */
    bool new_commands;  /* no page before the first canary's reply on a new command connection */
};
Worker worker[WORKERS];
#define W worker[w]
#define CHANNELS (BIT(USERS) | (OWN_LOG * BIT(CONNECTION)))

/* --- the connection (there is one at a time) -------------------------------------------------------------------------
 *
 *      HANDSHAKING --> SUBSCRIBING --> CATCHING_UP --> LIVE
 *                          ^   ^           |            |
 *                          |   `-----------'------------'   gap
 *      any ----------------------------------------------> CLOSING
 */
mtype = { HANDSHAKING, SUBSCRIBING, CATCHING_UP, LIVE, CLOSING };
mtype = { WANTED, ASKED, ANSWERED, WRITING, DONE, HEAD_ASKED, HEAD_ANSWERED };
mtype = { WELCOME, EVENT, CAUGHT_UP, RESYNC, PING };

mtype state = CLOSING;
byte at;                /* the worker that holds it */
byte position;          /* the last frame written, or L, or a mark that was handed out */
byte asked_position;    /* what the client brought */
bool resuming, welcomed;
bool replaying;         /* caught_up is still to be sent */
int list;               /* targeted frames that wait */
bool list_closed;       /* overflowed: nothing more until the next page is asked */
byte dropped;           /* the greatest id that overflow dropped */

/* A page: two reads, since the broadcast log's is shared by a worker's connections and has a head of its own. */
mtype page = WANTED;
bool with_broadcasts;   /* the tape does not reach back to the position: the log is asked */
bool target_read, broadcast_read;
int frames;             /* what both have brought */
byte target_head, broadcast_head;
byte target_bound, broadcast_bound;
byte refused;           /* the head of the page that refused; NONE: none did */
bool page_full;              /* one of them was full */
byte L;

chan wire = [WIRE] of { mtype, byte };

/* --- what the client has got: ghosts, no part of the protocol -------------------------------------------------------- */
bool has_position;
byte last_position;     /* the id of the frame that came last */
byte last_event;
byte told;              /* up to here it needs nothing: the first welcome's position, or a resync's */
int got;                /* events that came */
int dead;               /* ids of lost histories */
int required;           /* logged events for the client */

/* The properties. They are never true: their names are what the checker prints. */
bool addressee, once, order, skipped, position_right, position_goes_back, history_told, needless, stuck;
#define CHECK(name, condition) assert((condition) || name)

inline note_required()
{
    required = ((logged[BROADCAST] | logged[USERS] | logged[CONNECTION]) & ~frameless & ~dead)
}

/* --- connections to Redis that break -------------------------------------------------------------------------------- */
#define HOLDS(w) (at == (w) && state != CLOSING)
#define NOTHING_WAITS ((((worker[at].tape | list) & ABOVE(position)) == 0 || FAULT == position_is_mark_while_waiting) && \
                       worker[at].lost <= position)

/* Back to the start of a catch-up: whatever was in flight for it does not count any more. What waited in the list has
 * been logged, and a page that is asked from now on has it. */
inline catch_up_again(into)
{
    state = into; page = WANTED; list = 0; frames = 0; list_closed = false; dropped = 0; L = 0; refused = NONE;
    target_read = false; broadcast_read = false; with_broadcasts = false; page_full = false;
    target_head = 0; broadcast_head = 0; target_bound = 0; broadcast_bound = 0
}
inline break_subscriber(x)
{
    do
    :: queue[x]?_,_
    :: empty(queue[x]) -> break
    od;
    subscribed[x] = 0;
    worker[x].confirmed = false; worker[x].gap = (FAULT != mark_kept_across_loss);
    if :: FAULT != user_not_resubscribed -> worker[x].asked = 0; worker[x].ready = 0 :: else fi;
    worker[x].canary_out = false; worker[x].heard = false;
    if
    :: HOLDS(x) && state == LIVE ->
        if :: NOTHING_WAITS -> position = MAX(position, worker[x].mark) :: else fi;
        if :: FAULT != live_across_loss -> catch_up_again(SUBSCRIBING) :: else fi
    :: HOLDS(x) && state == CATCHING_UP -> catch_up_again(SUBSCRIBING)
    :: else
    fi
}
/* Pages in flight are asked again on the new connection, after its first canary. */
inline break_commands(x)
{
    worker[x].new_commands = true; worker[x].canary_due = true;
    if
    :: HOLDS(x) && state == CATCHING_UP && (page == ASKED || (page == ANSWERED && FAULT != old_replies_read)) ->
        page = WANTED; frames = 0; target_read = false; broadcast_read = false
    :: HOLDS(x) && state == CATCHING_UP && (page == HEAD_ASKED || page == HEAD_ANSWERED) -> catch_up_again(SUBSCRIBING)
    :: else
    fi
}

/* --- rules of Redis: the script's atomic steps ------------------------------------------------------------------------ */
hidden byte k, top, low, seq;
hidden int set;

inline open_epoch(s)    /* its first seq is s + 1; the old one's end is noted before */
{
    epoch_used++;
    head = epoch_used * SEQS + (s);
    new_replid = false
}
inline check_epoch()
{
    if
    :: head_gone ->     /* the logs tell a lower bound of seq only, so everything before counts as gone */
        highest(kept[BROADCAST] | kept[USERS] | kept[CONNECTION], top);
        seq = SEQ(top); i = 0;
        do
        :: i < EPOCHS -> if :: ends[i] != NONE && ends[i] > seq -> seq = ends[i] :: else fi; i++
        :: else -> break
        od;
        seq = (seq > 0 -> seq + 1 : 0);
        if :: FAULT != head_deleted_keeps_floor -> floor = seq :: else fi;
        head_gone = false;
        open_epoch(seq)
    :: else ->
        if
        :: new_replid && FAULT == epoch_by_seq_only -> new_replid = false
        :: new_replid && FAULT != epoch_by_seq_only ->
            if :: FAULT != end_not_noted -> ends[EPOCH(head)] = SEQ(head) :: else fi;
            open_epoch(SEQ(head))
        :: else
        fi
    fi
}
#define CAN_OPEN (!(head_gone || new_replid) || epoch_used + 1 < EPOCHS)

inline next_id()
{
    check_epoch();
    head++;
    /* only epoch_by_seq_only gives an id twice: it is another event then */
    if
    :: dead & BIT(head) ->
        dead = dead & ~BIT(head); got = got & ~BIT(head); frameless = frameless & ~BIT(head);
        published[0] = published[0] & ~BIT(head); published[1] = published[1] & ~BIT(head);
        published[2] = published[2] & ~BIT(head); published[3] = published[3] & ~BIT(head);
        logged[0] = logged[0] & ~BIT(head); logged[1] = logged[1] & ~BIT(head); logged[2] = logged[2] & ~BIT(head)
    :: else
    fi
}
inline append(log)      /* XADD; `prev` follows from `logged`, see entry_before */
{
    logged[log] = logged[log] | BIT(head);
    kept[log] = kept[log] | BIT(head);
    note_required()
}
inline announce(channel)    /* PUBLISH */
{
    published[channel] = published[channel] | BIT(head);
    k = 0;
    do
    :: k < WORKERS -> if :: subscribed[k] & BIT(channel) -> queue[k]!channel,head :: else fi; k++
    :: else -> break
    od;
    k = 0
}
/* `prev` of a log's first entry: the entry that stood before it when it was added. Of a log that has expired as a whole
 * it would be 0-0; whoever missed something there is below the floor. */
inline entry_before_first(log, out)
{
    lowest(kept[log], top);
    highest(logged[log] & ~dead & (top == 0 -> 0 : BIT(top) - 1), out)
}

/* XRANGE of one log after the position into `frames`, with the bound that the reply proves. */
inline read_log(log, bound)
{
    set = kept[log] & ABOVE(position); seq = 0;
    do
    :: set != 0 && seq < PAGE ->
        lowest(set, top);
        set = set & ~BIT(top);
        frames = frames | (BIT(top) & ~frameless);
        seq++
    :: else -> break
    od;
    if
    :: seq == PAGE -> page_full = true; if :: FAULT != L_ignores_full_page -> bound = MIN(bound, top) :: else fi
    :: else
    fi
}
/* Is something after the position gone from the log? */
inline judge_log(log)
{
    entry_before_first(log, low);
    if
    :: low > position && FAULT != prev_ignored -> refused = head
    :: else
    fi
}
/* unknown is not modelled; epoch, ahead, expired in this order, all answered alike. */
inline judge_position()
{
    if
    :: EPOCH(position) == EPOCH(head) && SEQ(position) > SEQ(head) -> refused = head
    :: FAULT == ahead_judged_by_mark && position > worker[at].mark -> refused = head
    :: EPOCH(position) != EPOCH(head) && FAULT == every_old_epoch_refused -> refused = head
    :: EPOCH(position) != EPOCH(head) && FAULT != ends_ignored &&
       (ends[EPOCH(position)] == NONE || SEQ(position) > ends[EPOCH(position)]) -> refused = head
    :: else -> if :: SEQ(position) < floor && FAULT != floor_ignored -> refused = head :: else fi
    fi
}
/* Told though it missed nothing? By `prev` and floor that is: what it lacks is not kept, nor on its worker's tape; or
 * its position is below the floor, or in a lost history. */
inline judge_refusal()
{
    set = (logged[BROADCAST] & ~kept[BROADCAST] & ~worker[at].tape) | (logged[USERS] & ~kept[USERS]) |
          (logged[CONNECTION] & ~kept[CONNECTION]);
    CHECK(needless, refused == NONE || SEQ(position) < floor || (dead & BIT(position)) || (set & ~dead & ABOVE(position)))
}

proctype redis()
{
    do
    /* publishing */
    :: d_step { events > 0 && (KINDS & ALL) && CAN_OPEN -> events--; next_id();
                append(BROADCAST); announce(BROADCAST) }
    :: d_step { events > 0 && (KINDS & USER) && CAN_OPEN -> events--; next_id();
                append(USERS); announce(USERS) }
    :: d_step { events > 0 && (KINDS & OTHER) && CAN_OPEN -> events--; next_id(); announce(OTHERS) }
    :: d_step { events > 0 && (KINDS & OTHER_USER) && CAN_OPEN -> events--; next_id();
                append(USERS); announce(OTHERS); announce(USERS) }
    :: d_step { events > 0 && (KINDS & USER_ALL) && CAN_OPEN -> events--; next_id();
                append(USERS); append(BROADCAST); announce(USERS); announce(BROADCAST) }
    :: d_step { events > 0 && (KINDS & ALL_USER) && CAN_OPEN -> events--; next_id();
                append(USERS); append(BROADCAST); announce(BROADCAST); announce(USERS) }
    :: d_step { events > 0 && (KINDS & KEPT_NOWHERE) && CAN_OPEN -> events--; next_id(); announce(USERS) }
    :: d_step { events > 0 && (KINDS & OWN) && CAN_OPEN -> events--; next_id();
                append(CONNECTION); announce(CONNECTION) }

    /* retention: MAXLEN leaves the newest entry, the floor takes broadcasts; a user's log expires as a whole */
    :: d_step { trims > 0 && (kept[BROADCAST] & (kept[BROADCAST] - 1)) ->
                trims--; lowest(kept[BROADCAST], top); kept[BROADCAST] = kept[BROADCAST] & ~BIT(top) }
    :: d_step { trims > 0 && (kept[USERS] & (kept[USERS] - 1)) ->
                trims--; lowest(kept[USERS], top); kept[USERS] = kept[USERS] & ~BIT(top) }
    :: d_step { floors > 0 && !head_gone && floor < SEQ(head) ->
                floors--; floor++; top = 0; low = 0;
                do
                :: low <= LAST -> if :: SEQ(low) <= floor -> kept[BROADCAST] = kept[BROADCAST] & ~BIT(low)
                                     :: else -> top = top | ((kept[USERS] & BIT(low)) != 0) fi;
                                  low++
                :: else -> break
                od;
                if :: top == 0 -> kept[USERS] = 0 :: else fi }
    :: d_step { erases > 0 && kept[USERS] != 0 && CAN_OPEN ->
                erases--; next_id(); kept[USERS] = 0;
                if :: FAULT != erased_without_marker -> append(USERS); frameless = frameless | BIT(head); note_required()
                   :: else fi }

    /* another history: a replica without the tail is promoted, and every connection breaks */
    :: atomic { failovers > 0 && epoch_used + failovers < EPOCHS + (EPOCHS == 1) && !head_gone && !new_replid ->
                failovers--; new_replid = true;
                do
                :: d_step { head > 0 && SEQ(head) > 0 && SEQ(head) > floor &&
                            (EPOCH(head) == 0 || SEQ(head) > ends[EPOCH(head) - 1]) ->
                            dead = dead | BIT(head); head-- }
                :: d_step { EPOCH(head) > 0 && SEQ(head) == ends[EPOCH(head) - 1] ->
                            dead = dead | BIT(head); head = (EPOCH(head) - 1) * SEQS + SEQ(head); ends[EPOCH(head)] = NONE }
                :: break
                od;
                d_step {
                    low = 0;
                    do
                    :: low < 3 ->
                        kept[low] = kept[low] & ~dead;
                        /* what MAXLEN had taken for the lost entries is back */
                        if :: kept[low] == 0 -> set = logged[low] & ~dead; seq = 1;
                                                do
                                                :: seq <= LAST -> if :: SEQ(seq) > floor -> kept[low] = kept[low] | (set & BIT(seq))
                                                                     :: else fi; seq++
                                                :: else -> break
                                                od
                           :: else fi;
                        low++
                    :: else -> break
                    od;
                    note_required();
                    low = 0;
                    do
                    :: low < WORKERS -> break_commands(low); break_subscriber(low); low++
                    :: else -> break
                    od;
                    low = 0
                } }
    :: d_step { replids > 0 && !head_gone && !new_replid -> replids--; new_replid = true }
    :: d_step { deletes > 0 && !head_gone && head > 0 -> deletes--; head_gone = true; dead = dead | UPTO(head); note_required() }

    /* the two reads of a page, in any order; no ws:head, no page: the canary makes one */
    :: d_step { page == ASKED && !target_read ->
                if
                :: head_gone -> page = WANTED; worker[at].new_commands = true; worker[at].canary_due = true
                :: else ->
                    target_read = true; target_head = head; target_bound = head;
                    judge_position(); judge_log(USERS);
                    if :: OWN_LOG -> judge_log(CONNECTION) :: else fi;
                    if :: FAULT == tape_log_judged && !with_broadcasts -> judge_log(BROADCAST) :: else fi;
                    judge_refusal();
                    read_log(USERS, target_bound);
                    if :: OWN_LOG -> read_log(CONNECTION, target_bound) :: else fi;
                    if :: broadcast_read -> page = ANSWERED :: else fi
                fi }
    :: d_step { page == ASKED && !broadcast_read ->
                if
                :: head_gone -> page = WANTED; worker[at].new_commands = true; worker[at].canary_due = true
                :: else ->
                    broadcast_read = true; broadcast_head = head; broadcast_bound = head;
                    judge_position(); judge_log(BROADCAST); judge_refusal();
                    read_log(BROADCAST, broadcast_bound);
                    if :: target_read -> page = ANSWERED :: else fi
                fi }
    :: d_step { page == HEAD_ASKED && !head_gone -> target_head = head; page = HEAD_ANSWERED }
    od
}

/* --- rules of a worker ------------------------------------------------------------------------------------------------ */
inline to_tape(id)      /* refuses what is not above its last frame */
{
    if
    :: (W.tape & ~(BIT(id) - 1)) == 0 || FAULT == tape_takes_what_it_has ->
        W.tape = W.tape | BIT(id);
        set = W.tape; seq = 0;
        do
        :: set != 0 -> set = set & (set - 1); seq++
        :: else -> break
        od;
        if :: seq > TAPE -> lowest(W.tape, low); W.tape = W.tape & ~BIT(low); W.lost = low :: else fi
    :: else
    fi
}
inline to_connection(id)
{
    if
    :: HOLDS(w) && (state == CATCHING_UP || state == LIVE) ->
        set = list & ABOVE(position); seq = 0;
        do
        :: set != 0 -> set = set & (set - 1); seq++
        :: else -> break
        od;
        if
        :: !list_closed && seq < LIST -> list = list | BIT(id)
        :: else ->      /* overflow */
            if :: state == LIVE -> state = CATCHING_UP; page = WANTED :: else fi;
            if :: FAULT == overflow_keeps_list_open -> list = BIT(id) :: else -> list = 0; list_closed = true fi;
            if :: FAULT != overflow_forgets_dropped && FAULT != overflow_keeps_list_open -> dropped = id :: else fi
        fi
    :: else
    fi
}
/* The mark is known, and what arrives is of another epoch: the connection counts as lost. */
#define OTHER_EPOCH(id) (EPOCH(id) != EPOCH(W.mark) && !W.gap && FAULT != frame_of_new_epoch_passes)
#define CARRIES(channel) ((channel) == USERS || (channel) == CONNECTION || ((channel) == OTHERS && FAULT == other_users_frame))

hidden byte what, id;
inline receive(w)
{
    queue[w]?what,id;
    if
    :: what >= CONFIRM ->
        if
        :: what == CONFIRM + BROADCAST -> W.confirmed = true
        :: else -> W.ready = W.ready | (W.asked & BIT(what - CONFIRM)); W.heard = false
        fi
    :: what < CONFIRM ->
        W.heard = true;
        if :: what == CANARY -> W.canary_out = false :: else fi;
        if
        :: OTHER_EPOCH(id) -> break_subscriber(w)
        :: else ->
            if
            :: what == CANARY ->
                if :: !W.gap || FAULT == canary_raises_mark_in_gap -> W.mark = MAX(W.mark, id); W.arrived = MAX(W.arrived, id)
                   :: else fi
            :: what == BROADCAST ->
                if :: id > W.mark || FAULT == tape_takes_what_it_has -> to_tape(id) :: else fi;
                W.mark = MAX(W.mark, id); W.arrived = MAX(W.arrived, id)
            :: else ->
                W.arrived = MAX(W.arrived, id);
                if
                :: FAULT == targeted_raises_mark_to_itself -> W.mark = MAX(W.mark, id)
                :: else -> W.mark = MAX(W.mark, id - 1)
                fi;
                if :: CARRIES(what) -> to_connection(id) :: else fi
            fi
        fi
    fi
}

/* One page of the broadcast log from where the tape ends; asked, answered and handled in one step, since nothing that
 * it touches moves meanwhile: the subscriber connection is not read. */
inline close_gap(w)
{
    /* cut off what lies past the end of the tape's epoch */
    highest(W.tape, top); top = MAX(top, W.lost);
    if
    :: EPOCH(top) != EPOCH(head) && FAULT != tape_not_cut ->
        if
        :: ends[EPOCH(top)] == NONE -> W.tape = 0; W.lost = head; top = head
        :: ends[EPOCH(top)] != NONE && SEQ(top) > ends[EPOCH(top)] ->
            seq = EPOCH(top) * SEQS + ends[EPOCH(top)];
            W.tape = W.tape & UPTO(seq);
            if :: W.tape == 0 && W.lost > seq -> W.lost = head; top = head :: else -> top = seq fi
        :: else
        fi
    :: else
    fi;
    /* a hole: the tape begins again where the page does */
    seq = top;
    entry_before_first(BROADCAST, low);
    lowest(kept[BROADCAST] & ABOVE(seq), top);
    if
    :: FAULT != hole_ignored && (low > seq || SEQ(seq) < floor) ->
        W.tape = 0;
        W.lost = (top == 0 -> head : top - 1);
        seq = W.lost
    :: else
    fi;
    what = 0; id = seq;
    do
    :: what < PAGE ->
        lowest(kept[BROADCAST] & ABOVE(id), top);
        if
        :: top == 0 -> break
        :: else -> id = top; to_tape(id); what++
        fi
    :: else -> break
    od;
    if
    :: what < PAGE || FAULT == gap_closed_by_full_page ->
        W.mark = head; W.arrived = head; W.gap = false
    :: else
    fi
}

proctype serve(byte w)
{
    do
    /* the subscriber connection: node channel, ws:broadcast, the gap; then users */
    :: d_step { subscribed[w] == 0 -> subscribed[w] = BIT(NODE) }
    :: d_step { subscribed[w] == BIT(NODE) ->
                subscribed[w] = BIT(NODE) | BIT(BROADCAST) | BIT(OTHERS);
                if :: FAULT == user_not_resubscribed -> subscribed[w] = subscribed[w] | W.asked :: else fi;
                queue[w]!CONFIRM + BROADCAST,0 }
    :: d_step { nempty(queue[w]) && (!(W.confirmed && W.gap) || FAULT == read_in_gap) -> receive(w) }
    :: d_step { W.confirmed && W.gap && !head_gone && !W.new_commands -> close_gap(w) }
    :: d_step { losses > 0 && subscribed[w] != 0 -> losses--; break_subscriber(w) }

    /* the command connection: what was asked before it goes first */
    :: d_step { W.canary_due && (!W.canary_out || W.new_commands) && !(at == w && page == ASKED) && CAN_OPEN ->
                check_epoch();
                W.canary_due = false; W.new_commands = false;
                if :: subscribed[w] & BIT(NODE) -> W.canary_out = true; queue[w]!CANARY,head :: else fi }
    /* and every few seconds, which matters where something has happened to ws:head */
    :: d_step { (head_gone || new_replid) && !W.canary_due -> W.canary_due = true }
    :: d_step { breaks > 0 -> breaks--; break_commands(w) }

    /* the client's channels: SUBSCRIBE, confirmed by Redis in its own time; let go when nobody follows them */
    :: d_step { HOLDS(w) && state == SUBSCRIBING && !W.gap && W.confirmed && !(W.asked & BIT(USERS)) ->
                W.asked = W.asked | BIT(USERS) }
    :: d_step { OWN_LOG && HOLDS(w) && state == SUBSCRIBING && !W.gap && W.confirmed && !(W.asked & BIT(CONNECTION)) ->
                W.asked = W.asked | BIT(CONNECTION) }
    :: d_step { (W.asked & ~subscribed[w] & BIT(USERS)) && W.confirmed ->
                subscribed[w] = subscribed[w] | BIT(USERS); queue[w]!CONFIRM + USERS,0 }
    :: d_step { (W.asked & ~subscribed[w] & BIT(CONNECTION)) && W.confirmed ->
                subscribed[w] = subscribed[w] | BIT(CONNECTION); queue[w]!CONFIRM + CONNECTION,0 }
    :: d_step { unfollows > 0 && !HOLDS(w) && W.ready == CHANNELS ->
                unfollows--; subscribed[w] = subscribed[w] & ~CHANNELS; W.asked = 0;
                if :: FAULT != unfollowed_still_ready -> W.ready = 0 :: else fi }
    od
}

/* --- rules of a connection -------------------------------------------------------------------------------------------- */
#define ME worker[at]
#define CAN_LIVE ((!page_full || FAULT == live_after_full_page) && \
                  ((frames & ABOVE(position)) == 0 || FAULT == live_above_L_ignored) && \
                  dropped <= position && \
                  (ME.lost <= position || FAULT == live_without_reach) && \
                  (ME.mark >= position || FAULT == live_below_mark))
#define CANARY_UNDER_WAY (ME.canary_due || ME.canary_out)

inline answered()       /* both replies are there: L is the least bound */
{
    if
    :: (EPOCH(target_head) != EPOCH(ME.mark) || (with_broadcasts && EPOCH(broadcast_head) != EPOCH(ME.mark))) &&
       FAULT != page_of_new_epoch_passes ->
        break_subscriber(at)
    :: else ->
        if
        :: refused != NONE ->
            if :: FAULT == resync_carries_newer_head -> refused = head :: else fi
        :: else ->
            if
            :: FAULT == head_of_another_page && target_bound == target_head && with_broadcasts ->
                target_bound = MAX(target_head, broadcast_head)
            :: else
            fi;
            L = target_bound;
            if
            :: with_broadcasts -> L = MIN(L, broadcast_bound)
            :: !with_broadcasts && FAULT != L_ignores_mark -> L = MIN(L, ME.mark)
            :: else
            fi;
            L = MAX(L, position)
        fi;
        page = WRITING
    fi
}
inline write_page()     /* the next frame up to L, from the page or from the tape */
{
    if
    :: !with_broadcasts && ME.lost > position && FAULT != reach_not_checked_while_writing ->
        page = WANTED; frames = 0
    :: else ->
        lowest((frames | (with_broadcasts -> 0 : ME.tape)) & ABOVE(position) & UPTO(L), top);
        if
        :: top != 0 ->
            wire!EVENT,top;
            if :: FAULT == merge_writes_twice && (frames & ME.tape & BIT(top)) -> frames = frames & ~BIT(top); ME.tape = ME.tape | BIT(top)
               :: else -> position = top fi
        :: else -> position = L; page = DONE
        fi
    fi
}
inline write_live()
{
    lowest((list | ME.tape) & ABOVE(position), top);
    wire!EVENT,top; position = top; list = list & ABOVE(top)
}

proctype connection()
{
    do
    :: d_step { state == HANDSHAKING -> state = SUBSCRIBING }

    /* SUBSCRIBING: every channel is confirmed (asking is the worker's part) */
    :: d_step { state == SUBSCRIBING && !ME.gap && nfull(wire) && !welcomed && resuming &&
                (ME.ready == CHANNELS || FAULT == page_before_confirmation) ->
                if
                :: FAULT == welcome_carries_head -> wire!WELCOME,MAX(asked_position, ME.mark)
                :: else -> wire!WELCOME,asked_position
                fi;
                welcomed = true; position = asked_position; state = CATCHING_UP }
    :: d_step { state == SUBSCRIBING && !ME.gap && welcomed && ME.ready == CHANNELS -> state = CATCHING_UP }
    :: d_step { state == SUBSCRIBING && !ME.gap && !welcomed && !resuming && ME.ready == CHANNELS && nfull(wire) &&
                (ME.heard || FAULT == welcome_from_before_confirmation) ->
                welcomed = true; position = ME.arrived; wire!WELCOME,position; state = CATCHING_UP; page = DONE }
    :: d_step { state == SUBSCRIBING && !ME.gap && !welcomed && !resuming && !ME.new_commands &&
                ((ME.ready == CHANNELS && !ME.heard) || FAULT == head_read_before_confirmation) ->
                state = CATCHING_UP; page = HEAD_ASKED; ME.canary_due = true }

    /* CATCHING_UP */
    :: d_step { state == CATCHING_UP && page == HEAD_ANSWERED && nfull(wire) ->
                if
                :: EPOCH(target_head) != EPOCH(ME.mark) -> break_subscriber(at)
                :: else -> welcomed = true; position = target_head; wire!WELCOME,position; page = DONE
                fi }
    :: d_step { state == CATCHING_UP && page == WANTED && !ME.new_commands ->
                page = ASKED; with_broadcasts = (ME.lost > position); target_read = false;
                broadcast_read = !with_broadcasts; frames = 0; page_full = false; refused = NONE; list_closed = false;
                L = (FAULT == position_moves_to_L_early -> L : 0);
                ME.canary_due = true }
    :: d_step { state == CATCHING_UP && page == ANSWERED -> answered() }
    :: d_step { state == CATCHING_UP && page == WRITING && refused != NONE && nfull(wire) ->
                wire!RESYNC,refused;
                if :: FAULT != resync_does_not_skip -> position = refused :: else fi;
                refused = NONE; frames = 0; page_full = false; replaying = false; page = DONE }
    :: d_step { state == CATCHING_UP && page == WRITING && refused == NONE && nfull(wire) -> write_page() }
    :: d_step { state == CATCHING_UP && page == DONE && CAN_LIVE && nfull(wire) ->
                if :: replaying -> wire!CAUGHT_UP,position; replaying = false :: else fi;
                state = LIVE; page = WANTED; frames = 0; L = 0; dropped = 0; page_full = false; list_closed = false;
                if :: FAULT != live_frames_not_skipped -> list = list & ABOVE(position) :: else fi;
                target_head = 0; broadcast_head = 0; target_bound = 0; broadcast_bound = 0 }
    /* not yet: the next page, unless only the mark is behind and a canary is about to bring it */
    :: d_step { state == CATCHING_UP && page == DONE && !CAN_LIVE &&
                (ME.mark > position || ME.lost > position || !CANARY_UNDER_WAY || FAULT == pages_without_end) -> page = WANTED }

    /* LIVE */
    :: d_step { state == LIVE && ME.lost > position && FAULT != reach_not_checked_when_live -> catch_up_again(CATCHING_UP) }
    :: d_step { state == LIVE && nfull(wire) && (((list | ME.tape) & ABOVE(position)) != 0) &&
                (ME.lost <= position || FAULT == reach_not_checked_when_live) -> write_live() }
    :: d_step { pings > 0 && welcomed && nfull(wire) && state != CLOSING ->
                pings--;
                low = position;
                if
                :: state == LIVE && NOTHING_WAITS -> low = MAX(low, ME.mark)
                :: state == CATCHING_UP && page == WRITING && FAULT == position_moves_to_L_early -> low = MAX(low, L)
                :: else
                fi;
                wire!PING,low;
                if :: FAULT != position_forgets_ping -> position = low :: else fi }
    od
}

/* --- the client, and what is claimed ----------------------------------------------------------------------------------- */
#define MISSING (required & ABOVE(told) & ~got)

mtype frame;
hidden byte p;
inline judge()
{
    CHECK(position_goes_back, !has_position || p >= last_position);
    /* one whose position is of a lost history is told before anything of the new one comes */
    CHECK(history_told, frame == RESYNC || !has_position || p == last_position || !(dead & BIT(last_position)) || (dead & BIT(p)));
    if
    :: frame == EVENT ->
        CHECK(addressee, BIT(p) & (published[BROADCAST] | published[USERS] | published[CONNECTION]));
        CHECK(once, !(got & BIT(p)));
        CHECK(order, p > last_event && p > told);
        got = got | BIT(p);
        last_event = p;
        CHECK(skipped, (MISSING & UPTO(p)) == 0)
    :: frame == RESYNC -> told = p; last_event = p
    :: frame == WELCOME && !has_position -> told = p
    :: else -> CHECK(position_right, (MISSING & UPTO(p)) == 0)
    fi;
    has_position = true; last_position = p
}

proctype client()
{
    do
    :: d_step { wire?frame,p -> judge(); frame = 0 }
    :: d_step { drops > 0 && state != CLOSING ->
                drops--;
                do
                :: wire?_,_
                :: empty(wire) -> break
                od;
                catch_up_again(CLOSING);
                position = 0; asked_position = 0; welcomed = false; resuming = false; replaying = false }
    :: d_step { state == CLOSING -> at = 0; state = HANDSHAKING; resuming = has_position; replaying = has_position;
                asked_position = last_position }
#if WORKERS > 1
    :: d_step { state == CLOSING && has_position -> at = 1; state = HANDSHAKING; resuming = true; replaying = true;
                asked_position = last_position }
#endif
    od
}

/* When nothing is left to happen the client is live, and has what it is owed. */
proctype rest()
{
    atomic { timeout ->
        CHECK(stuck, state == LIVE);
        CHECK(history_told, !(dead & BIT(last_position)));
        CHECK(skipped, MISSING == 0) }
}

init
{
    d_step {
        k = 0;
        do
        :: k < WORKERS -> worker[k].gap = true; k++
        :: else -> break
        od;
        refused = NONE;
#ifdef FAULT_AT_RUN
        c_code { now.fault = atoi(getenv("FAULT")); }
#endif
    };
    atomic {
        run redis();
        run serve(0);
#if WORKERS > 1
        run serve(1);
#endif
        run connection(); run client(); run rest()
    }
}
