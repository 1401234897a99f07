/*
 * Walks through the DHT in an SQLite file: one row a walk, one a node. One file takes any number of
 * walks. Layer: store.
 *
 *   open -> begin -> add ... -> finish -> close
 *
 * Tables: crawls (id, started, seconds, family, known, alive, silent, ids_changed, id_fits,
 * queries, complete; `seconds` is NULL for a walk that was never finished) and nodes (crawl, at,
 * address, id, state, id_fits, rtt_s, version, client, told_by; `at` in seconds after the
 * beginning). Rows are written in transactions of many. The file is ours when its application_id
 * says so; another database is refused before anything is written to it.
 */
#ifndef SK_STORE_DHT_CRAWL_H
#define SK_STORE_DHT_CRAWL_H

#include <skep/dht.h>

#define SK_CRAWL_REASON_MAX 512

struct sk_crawl_store;

/* SKEP_ERR_STORE with SQLite's words, SKEP_ERR_NOMEM. */
int sk_crawl_store_open(const char *path, struct sk_crawl_store **ret_store,
                        char ret_reason[SK_CRAWL_REASON_MAX]);
/* Writes what is pending and closes; takes NULL. */
void sk_crawl_store_close(struct sk_crawl_store *store);
/* SKEP_ERR_STORE. */
int sk_crawl_store_begin(struct sk_crawl_store *store, double started_unix_s, unsigned family);
/* A node as it may be shown: `address` in place of that in `found`, `id` (hex) may be NULL. After a
 * failure nothing more is written; finish says so. */
void sk_crawl_store_add(struct sk_crawl_store *store, double at_s, const char *address,
                        const char *id, const char *client, const struct skep_dht_found *found);
/* SKEP_ERR_STORE, also where a node was lost before. `result` may be NULL: it was interrupted. */
int sk_crawl_store_finish(struct sk_crawl_store *store, double seconds,
                          const struct skep_dht_crawl_result *result);
const char *sk_crawl_store_reason(const struct sk_crawl_store *store);

/* "alive", "silent", "id-changed". */
const char *sk_crawl_state_name(enum skep_dht_found_state state);

#endif
