/* Every metric of belfry: one row for each family, from which the counters, the text for Prometheus and docs/metrics.md
 * are made. Only core/metrics.[ch] include this.
 *
 * A label's values are a list VALUES_x(V, id): V(id, name in C, text of the label). */
#ifndef CORE_METRICS_TABLE_H
#define CORE_METRICS_TABLE_H

#define VALUES_TOTAL(V, id) V(id, TOTAL, "")
#define VALUES_NOW(V, id) V(id, NOW, "")

/* In the order of enum conn_state. */
#define VALUES_STATE(V, id)                                                                                            \
    V(id, HANDSHAKING, "handshaking")                                                                                  \
    V(id, SUBSCRIBING, "subscribing")                                                                                  \
    V(id, CATCHING_UP, "catching_up")                                                                                  \
    V(id, LIVE, "live")                                                                                                \
    V(id, CLOSING, "closing")

#define VALUES_HANDSHAKE(V, id)                                                                                        \
    V(id, ACCEPTED, "accepted")                                                                                        \
    V(id, BAD_HANDSHAKE, "bad_handshake")                                                                              \
    V(id, ORIGIN, "origin")                                                                                            \
    V(id, TOKEN, "token")                                                                                              \
    V(id, CURSOR, "cursor")                                                                                            \
    V(id, PROCESS_FULL, "process_full")                                                                                \
    V(id, USER_LIMIT, "user_limit")                                                                                    \
    V(id, ADDRESS_LIMIT, "address_limit")                                                                              \
    V(id, DRAINING, "draining")                                                                                        \
    V(id, REDIS_AWAY, "redis_away")

#define VALUES_CODE(V, id)                                                                                             \
    V(id, 1000, "1000")                                                                                                \
    V(id, 1001, "1001")                                                                                                \
    V(id, 1002, "1002")                                                                                                \
    V(id, 1003, "1003")                                                                                                \
    V(id, 1005, "1005")                                                                                                \
    V(id, 1006, "1006")                                                                                                \
    V(id, 1007, "1007")                                                                                                \
    V(id, 1009, "1009")                                                                                                \
    V(id, 1011, "1011")                                                                                                \
    V(id, 1012, "1012")                                                                                                \
    V(id, 1013, "1013")                                                                                                \
    V(id, 4400, "4400")                                                                                                \
    V(id, 4401, "4401")                                                                                                \
    V(id, 4403, "4403")                                                                                                \
    V(id, 4408, "4408")                                                                                                \
    V(id, 4409, "4409")                                                                                                \
    V(id, 4429, "4429")                                                                                                \
    V(id, OTHER, "other")

/* In the order of enum client_message_kind, then what is none. */
#define VALUES_RECEIVED(V, id)                                                                                         \
    V(id, PONG, "pong")                                                                                                \
    V(id, PING, "ping")                                                                                                \
    V(id, ACK, "ack")                                                                                                  \
    V(id, AUTH, "auth")                                                                                                \
    V(id, EVENT, "event")                                                                                              \
    V(id, REFUSED, "refused")

#define VALUES_SENT(V, id)                                                                                             \
    V(id, EVENT, "event")                                                                                              \
    V(id, WELCOME, "welcome")                                                                                          \
    V(id, CAUGHT_UP, "caught_up")                                                                                      \
    V(id, PING, "ping")                                                                                                \
    V(id, PONG, "pong")                                                                                                \
    V(id, ACK, "ack")                                                                                                  \
    V(id, ERROR, "error")                                                                                              \
    V(id, RESYNC_REQUIRED, "resync_required")                                                                          \
    V(id, RECONNECT, "reconnect")

/* In the order of enum error_code. */
#define VALUES_ERROR(V, id)                                                                                            \
    V(id, BAD_JSON, "bad_json")                                                                                        \
    V(id, BAD_MESSAGE, "bad_message")                                                                                  \
    V(id, UNKNOWN_TYPE, "unknown_type")                                                                                \
    V(id, FORBIDDEN, "forbidden")                                                                                      \
    V(id, RATE_LIMITED, "rate_limited")                                                                                \
    V(id, TOO_LARGE, "too_large")                                                                                      \
    V(id, NOT_ACCEPTED, "not_accepted")                                                                                \
    V(id, OUTCOME_UNKNOWN, "outcome_unknown")                                                                          \
    V(id, TOKEN_EXPIRING, "token_expiring")                                                                            \
    V(id, INTERNAL, "internal")

/* In the order of enum publish_status. */
#define VALUES_PUBLISH(V, id)                                                                                          \
    V(id, OK, "ok")                                                                                                    \
    V(id, KEY_REUSED, "key_reused")                                                                                    \
    V(id, AWAY, "redis_away")                                                                                          \
    V(id, LOADING, "redis_loading")                                                                                    \
    V(id, READONLY, "redis_read_only")                                                                                 \
    V(id, OUT_OF_MEMORY, "redis_out_of_memory")                                                                        \
    V(id, NO_REPLICAS, "redis_no_replicas")                                                                            \
    V(id, MISCONF, "redis_cannot_persist")                                                                             \
    V(id, BUSY, "redis_busy")                                                                                          \
    V(id, DRAINING, "draining")                                                                                        \
    V(id, QUEUE_FULL, "queue_full")                                                                                    \
    V(id, OUTCOME_UNKNOWN, "outcome_unknown")                                                                          \
    V(id, REPLICAS_BEHIND, "replicas_behind")                                                                          \
    V(id, FAILED, "failed")

#define VALUES_SOURCE(V, id)                                                                                           \
    V(id, TAPE, "tape")                                                                                                \
    V(id, REDIS, "redis")

/* In the order of enum resync_reason, less RESYNC_NONE. */
#define VALUES_REASON(V, id)                                                                                           \
    V(id, UNKNOWN, "unknown")                                                                                          \
    V(id, EPOCH, "epoch")                                                                                              \
    V(id, AHEAD, "ahead")                                                                                              \
    V(id, EXPIRED, "expired")

#define VALUES_LINK(V, id)                                                                                             \
    V(id, COMMANDS, "commands")                                                                                        \
    V(id, SUBSCRIBER, "subscriber")                                                                                    \
    V(id, PUBLISHES, "publishes")

#define VALUES_LIMIT(V, id)                                                                                            \
    V(id, CLIENT, "client")                                                                                            \
    V(id, PUBLISH, "publish")

#define VALUES_POLICY(V, id)                                                                                           \
    V(id, NOEVICTION, "noeviction")                                                                                    \
    V(id, ALLKEYS_LRU, "allkeys-lru")                                                                                  \
    V(id, ALLKEYS_LFU, "allkeys-lfu")                                                                                  \
    V(id, ALLKEYS_RANDOM, "allkeys-random")                                                                            \
    V(id, VOLATILE_LRU, "volatile-lru")                                                                                \
    V(id, VOLATILE_LFU, "volatile-lfu")                                                                                \
    V(id, VOLATILE_RANDOM, "volatile-random")                                                                          \
    V(id, VOLATILE_TTL, "volatile-ttl")                                                                                \
    V(id, OTHER, "other")

/* F(id, kind, name, label or NULL, values, help). Of the kinds only METRIC_COUNTER and METRIC_GAUGE are added up over
 * the workers. */
#define METRIC_FAMILIES(F)                                                                                             \
    F(CONNECTIONS, METRIC_WORKER_GAUGE, "belfry_connections", "state", STATE,                                          \
      "WebSockets by state; catching_up: what they have missed is being read back")                                    \
    F(ACCEPTED, METRIC_COUNTER, "belfry_accepted_sockets_total", NULL, TOTAL,                                          \
      "Sockets accepted, on all addresses and of every kind")                                                          \
    F(HANDSHAKES, METRIC_COUNTER, "belfry_handshakes_total", "result", HANDSHAKE,                                      \
      "Requests for a WebSocket: accepted, or why they were refused, be it by a status or by a close code")            \
    F(CLOSES, METRIC_COUNTER, "belfry_closes_total", "code", CODE,                                                     \
      "Connections that ended, the refused among them, by close code; 1006: the socket went without a close frame")    \
    F(HEARTBEATS, METRIC_COUNTER, "belfry_heartbeat_failures_total", NULL, TOTAL,                                      \
      "Connections closed 4408, since nothing came from the client within PONG_TIMEOUT")                               \
    F(SLOW, METRIC_WORKER_GAUGE, "belfry_slow_connections", NULL, NOW,                                                 \
      "WebSockets whose socket takes no more at this moment, looked for once a second")                                \
    F(RECEIVED, METRIC_COUNTER, "belfry_messages_received_total", "type", RECEIVED,                                    \
      "Messages of clients within CLIENT_RATE; refused: they could not be read")                                       \
    F(RECEIVED_BYTES, METRIC_COUNTER, "belfry_received_bytes_total", NULL, TOTAL,                                      \
      "Bytes of WebSocket frames read from clients, without TLS")                                                      \
    F(SENT, METRIC_COUNTER, "belfry_messages_sent_total", "type", SENT,                                                \
      "Messages to clients; event: deliveries, counted when the socket takes their first byte")                        \
    F(SENT_BYTES, METRIC_COUNTER, "belfry_sent_bytes_total", NULL, TOTAL,                                              \
      "Bytes of WebSocket frames that sockets have taken, without TLS")                                                \
    F(ERRORS, METRIC_COUNTER, "belfry_errors_sent_total", "code", ERROR, "Messages of type error to clients, by code") \
    F(RATE_LIMITED, METRIC_COUNTER, "belfry_rate_limited_total", "limit", LIMIT,                                       \
      "What was refused for CLIENT_RATE (messages, pings) and PUBLISH_RATE (requests, messages)")                      \
    F(PUBLISHES, METRIC_COUNTER, "belfry_publishes_total", "result", PUBLISH,                                          \
      "Events published through REST and WebSocket, by what Redis made of them")                                       \
    F(PUBLISHES_PENDING, METRIC_WORKER_GAUGE, "belfry_publishes_pending", NULL, NOW,                                   \
      "Publishes that wait for Redis, to be sent or to be answered")                                                   \
    F(HEARD, METRIC_COUNTER, "belfry_events_heard_total", NULL, TOTAL,                                                 \
      "Events that came from Redis on the workers' channels; a broadcast comes once for each worker")                  \
    F(FOREIGN_DROPPED, METRIC_COUNTER, "belfry_foreign_dropped_total", NULL, TOTAL,                                    \
      "Payloads from Redis that were no event, and were dropped")                                                      \
    F(FORGERIES, METRIC_COUNTER, "belfry_forgeries_total", NULL, TOTAL,                                                \
      "Times that an id turned out which Redis has not given: somebody PUBLISHes what looks like belfry's own")        \
    F(TAPE_BYTES, METRIC_WORKER_GAUGE, "belfry_tape_bytes", NULL, NOW,                                                 \
      "Broadcasts held in memory, at most TAPE_BYTES")                                                                 \
    F(TAPE_AGE, METRIC_WORKER_SECONDS, "belfry_tape_age_seconds", NULL, NOW,                                           \
      "How far back in time those go; 0: there are none")                                                              \
    F(CATCH_UPS, METRIC_COUNTER, "belfry_catch_up_rounds_total", "source", SOURCE,                                     \
      "Rounds of catching up, by where the broadcasts came from: the worker's memory, or a page of Redis' log")        \
    F(PAGES_PENDING, METRIC_WORKER_GAUGE, "belfry_pages_pending", NULL, NOW,                                           \
      "Pages of logs that are being read from Redis, or wait for that")                                                \
    F(REPLAYED, METRIC_COUNTER, "belfry_replayed_events_total", NULL, TOTAL,                                           \
      "Events that clients have missed and were sent later; counted once a client is live")                            \
    F(RESYNCS, METRIC_COUNTER, "belfry_resyncs_total", "reason", REASON,                                               \
      "Clients that were told resync_required, by reason")                                                             \
    F(ACKS, METRIC_COUNTER, "belfry_acks_total", NULL, TOTAL, "Acknowledgements taken from clients")                   \
    F(REDIS_UP, METRIC_WORKER_GAUGE, "belfry_redis_up", NULL, NOW, "1: the connection for commands is up")             \
    F(PUBSUB_UP, METRIC_WORKER_GAUGE, "belfry_pubsub_up", NULL, NOW,                                                   \
      "1: the channels are read, and nothing before them is missing")                                                  \
    F(CANARY_AGE, METRIC_WORKER_SECONDS, "belfry_canary_age_seconds", NULL, NOW,                                       \
      "Since the last canary came back, which proves that events arrive; one is sent at least every 10 s")             \
    F(REDIS_CONNECTS, METRIC_COUNTER, "belfry_redis_connects_total", "connection", LINK,                               \
      "Connections to Redis that came up: all beyond the first of each worker are reconnects")                         \
    F(REDIS_COMMANDS, METRIC_COUNTER, "belfry_redis_commands_total", NULL, TOTAL, "Commands given to Redis")           \
    F(REDIS_MEMORY, METRIC_GAUGE, "belfry_redis_memory_bytes", NULL, NOW,                                              \
      "Redis' used_memory, asked every 10 s; what was answered last")                                                  \
    F(REDIS_MEMORY_MAX, METRIC_GAUGE, "belfry_redis_memory_max_bytes", NULL, NOW, "Redis' maxmemory; 0: no limit")     \
    F(REDIS_POLICY, METRIC_GAUGE, "belfry_redis_eviction_policy", "policy", POLICY,                                    \
      "1 for Redis' maxmemory-policy; only noeviction loses no events")                                                \
    F(LOOP_LAG, METRIC_WORKER_SECONDS, "belfry_loop_lag_seconds", NULL, NOW,                                           \
      "The longest turn of the worker's loop, or delay of one, in the last 5 to 10 s: what clients may have had to "   \
      "wait")

/* H(id, name, help): seconds. */
#define METRIC_HISTOGRAMS(H)                                                                                           \
    H(CONNECT, "belfry_connect_seconds", "From the request for a WebSocket to its welcome")                            \
    H(DELIVERY, "belfry_delivery_seconds",                                                                             \
      "From an event's timestamp to its writing into the socket: of broadcasts for one client in each 2 ms slice of "  \
      "the fan-out, of other events for all that are live")                                                            \
    H(FANOUT, "belfry_fanout_seconds",                                                                                 \
      "From a broadcast's arrival until all connections have had their turn; where broadcasts overlap, of one of "     \
      "them")                                                                                                          \
    H(LOOP, "belfry_loop_turn_seconds", "Turns of the workers' loops, without their sleep")                            \
    H(PUBLISH, "belfry_publish_seconds", "From a publish to its success, with all that it had to wait for")            \
    H(REDIS, "belfry_redis_round_trip_seconds", "From a command to Redis' reply")

/* P(id, kind, name, help): what is looked up when somebody asks; without labels. */
#define METRIC_PROCESS(P)                                                                                              \
    P(START_TIME, METRIC_GAUGE, "process_start_time_seconds", "When the process started, in seconds since 1970")       \
    P(CPU, METRIC_COUNTER, "process_cpu_seconds_total", "CPU time of all threads, user and system")                    \
    P(RSS, METRIC_GAUGE, "process_resident_memory_bytes", "Memory of the process that is in RAM")                      \
    P(VIRTUAL, METRIC_GAUGE, "process_virtual_memory_bytes", "Address space of the process")                           \
    P(MAX_FDS, METRIC_GAUGE, "process_max_fds", "Descriptors that the process may have open (RLIMIT_NOFILE)")          \
    P(DESCRIPTORS, METRIC_GAUGE, "belfry_descriptors", "Sockets of clients that are open, of every kind")              \
    P(DESCRIPTORS_MAX, METRIC_GAUGE, "belfry_descriptors_max",                                                         \
      "How many of them there may be: then new WebSockets are refused 1013")                                           \
    P(ALLOCATED, METRIC_GAUGE, "belfry_allocator_used_bytes", "Memory that the allocator has handed out")              \
    P(ALLOCATOR_FREE, METRIC_GAUGE, "belfry_allocator_free_bytes", "Memory that the allocator holds and nobody uses")  \
    P(READY, METRIC_GAUGE, "belfry_ready", "1: /readyz answers 200")                                                   \
    P(DRAINING, METRIC_GAUGE, "belfry_draining", "1: clients are being handed over, this process will end")            \
    P(LOG_DROPPED, METRIC_COUNTER, "belfry_log_lines_dropped_total",                                                   \
      "Log lines that were dropped, since nobody read stderr fast enough")

#endif
