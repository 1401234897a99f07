/*
 * One dialogue with a SOCKS5 proxy (RFC 1928, account by RFC 1929), from the first byte until it
 * carries what it was asked for. Layer: proto. Sans-I/O, without a clock: whoever owns the stream
 * gives up a proxy that says nothing.
 *
 *   METHOD -> (ACCOUNT) -> REPLY -> REPLY_REST -> OPEN
 *   any -> FAILED: sk_socks_failure() says why
 *
 * The owner sends all of sk_socks_output(), reads at most sk_socks_wanted() bytes and feeds them:
 * then nothing of what follows the reply is ever read here, and the stream is the peer's.
 *
 * Memory: the struct. The account is borrowed.
 */
#ifndef SK_PROTO_SOCKS_SOCKS_H
#define SK_PROTO_SOCKS_SOCKS_H

#include "base/bytes.h"
#include "base/endpoint.h"
#include "wire/socks.h"

#define SK_SOCKS_ACCOUNT_MAX 255 /* bytes of a user name, and of a password */

enum sk_socks_command { SK_SOCKS_CONNECT = 1, SK_SOCKS_ASSOCIATE = 3 };

/* Both empty: none. */
struct sk_socks_account {
    char user[SK_SOCKS_ACCOUNT_MAX + 1], password[SK_SOCKS_ACCOUNT_MAX + 1];
};

enum sk_socks_stage {
    SK_SOCKS_METHOD,
    SK_SOCKS_ACCOUNT,
    SK_SOCKS_REPLY,
    SK_SOCKS_REPLY_REST,
    SK_SOCKS_OPEN,
    SK_SOCKS_FAILED,
};

enum sk_socks_failure {
    SK_SOCKS_NO_FAILURE,
    /* What the proxy replied; the RFC's numbers. */
    SK_SOCKS_GENERAL = 1,
    SK_SOCKS_NOT_ALLOWED,
    SK_SOCKS_NETWORK_UNREACHABLE,
    SK_SOCKS_HOST_UNREACHABLE,
    SK_SOCKS_REFUSED,
    SK_SOCKS_TTL_EXPIRED,
    SK_SOCKS_NO_COMMAND,
    SK_SOCKS_NO_ADDRESS_TYPE,
    /* What went wrong before. */
    SK_SOCKS_NOT_SOCKS,     /* that is no SOCKS5 proxy, or it broke the rules */
    SK_SOCKS_WANTS_ACCOUNT, /* and we have none, or it wants something else still */
    SK_SOCKS_ACCOUNT_REFUSED,
    SK_SOCKS_UNKNOWN_REPLY,
};

struct sk_socks {
    enum sk_socks_stage stage;
    enum sk_socks_failure failure;
    enum sk_socks_command command;
    const struct sk_socks_account *account;
    struct sk_endpoint bound; /* of the reply; family NONE where it was a name */
    size_t out_n, in_n;
    uint8_t request[3 + SK_SOCKS_ADDRESS_MAX];
    size_t request_n;
    uint8_t out[3 + 2 * SK_SOCKS_ACCOUNT_MAX];
    uint8_t in[3 + SK_SOCKS_ADDRESS_MAX];
};

/* To connect to the endpoint, or to `name` at its port (NULL: none); or to associate, where all is
 * zero: we send from wherever we send. SKEP_ERR_INVALID: an address that cannot be asked for. */
int sk_socks_init(struct sk_socks *socks, enum sk_socks_command command,
                  const struct sk_endpoint *endpoint, const char *name,
                  const struct sk_socks_account *account);
/* What is to be sent now; until the next call. */
struct sk_bytes sk_socks_output(const struct sk_socks *socks);
void sk_socks_sent(struct sk_socks *socks, size_t n);
/* How many bytes may be read; 0 where it is OPEN or has FAILED. */
size_t sk_socks_wanted(const struct sk_socks *socks);
/* At most as many as are wanted. */
void sk_socks_input(struct sk_socks *socks, struct sk_bytes bytes);
/* In words for the user, as in "the proxy ...". */
const char *sk_socks_failure_text(enum sk_socks_failure failure);

#endif
