/*
 * skep dht: what its commands share, and the list of them. Layer: cmd. A command is a function of
 * its own, argv as after "skep dht" (argv[0] is what help texts call the program), and returns the
 * exit code.
 */
#ifndef SK_CMD_DHT_H
#define SK_CMD_DHT_H

#include "cmd/dht_json.h"
#include "cmd/dht_session.h"
#include "cmd/target.h"

#include <argp.h>

int sk_cmd_dht_announce(int argc, char **argv);
int sk_cmd_dht_crawl(int argc, char **argv);
int sk_cmd_dht_get(int argc, char **argv);
int sk_cmd_dht_lookup(int argc, char **argv);
int sk_cmd_dht_node(int argc, char **argv);
int sk_cmd_dht_peers(int argc, char **argv);
int sk_cmd_dht_ping(int argc, char **argv);
int sk_cmd_dht_put(int argc, char **argv);
int sk_cmd_dht_sample(int argc, char **argv);
int sk_cmd_dht_scrape(int argc, char **argv);
int sk_cmd_dht_size(int argc, char **argv);

/* Keeps the one argument of a command; complains and ends the program (exit code 2) where there is
 * another already. */
void sk_dht_one_argument(const struct sk_dht_session *session, const char **place, const char *arg,
                         const char *what);
/* Complains and ends the program (exit code 2) where the argument is missing. */
void sk_dht_want_argument(const struct sk_dht_session *session, const char *arg, const char *what);

/* The info-hash of a TARGET that is to be looked for or announced; not of a private torrent, about
 * which only its trackers may be asked. Complains; an exit code. */
int sk_dht_target(struct sk_dht_session *session, const char *text,
                  struct sk_target_hash *ret_hash);

/* A client by the four bytes of "v": "libtorrent 2.0.8", "uTorrent", "xy 0102"; "" where nothing
 * was said. Safe to show. Returns ret_text. */
#define SK_DHT_VERSION_MAX 48
char *sk_dht_version_text(const char version[4], char ret_text[SK_DHT_VERSION_MAX]);

/* A sequence number of BEP 44 as we take it: 0 up to 2^63 - 1; false where the text is none. */
bool sk_dht_parse_seq(const char *text, int64_t *ret_seq);
/* Appends how far a put or get is: "storing: 12 of 90 items". */
void sk_dht_show_progress(const struct skep_dht_progress *progress, enum sk_progress how,
                          struct sk_buf *out);

/* "12 nodes", "1 node": texts with a plural. */
char *sk_dht_count(uint64_t count, const char *what, char ret_text[64]);

#endif
