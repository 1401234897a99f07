#include "proto/socks/socks.h"

#include <skep/err.h>

#include "base/assert.h"

enum { VERSION = 5, ACCOUNT_VERSION = 1 };
enum { METHOD_NONE = 0, METHOD_ACCOUNT = 2 };
enum { REPLY_HEAD = 5 }; /* version, reply, reserved, and what tells how long the address is */

static bool has_account(const struct sk_socks *socks)
{
    return socks->account->user[0] || socks->account->password[0];
}

static void say_hello(struct sk_socks *socks)
{
    static const uint8_t anonymous[] = {VERSION, 1, METHOD_NONE};
    static const uint8_t both[] = {VERSION, 2, METHOD_NONE, METHOD_ACCOUNT};
    socks->out_n = has_account(socks) ? sizeof both : sizeof anonymous;
    memcpy(socks->out, has_account(socks) ? both : anonymous, socks->out_n);
}

int sk_socks_init(struct sk_socks *socks, enum sk_socks_command command,
                  const struct sk_endpoint *endpoint, const char *name,
                  const struct sk_socks_account *account)
{
    static const uint8_t anywhere[4];
    struct sk_endpoint ours = sk_endpoint_v4(anywhere, 0);
    *socks = (struct sk_socks){.command = command, .account = account};
    size_t n = sk_socks_write_address(command == SK_SOCKS_ASSOCIATE ? &ours : endpoint, name,
                                      socks->request + 3);
    if (n == 0)
        return SKEP_ERR_INVALID;
    socks->request[0] = VERSION;
    socks->request[1] = (uint8_t)command;
    socks->request_n = 3 + n;
    say_hello(socks);
    return 0;
}

struct sk_bytes sk_socks_output(const struct sk_socks *socks)
{
    return sk_bytes(socks->out, socks->out_n);
}

void sk_socks_sent(struct sk_socks *socks, size_t n)
{
    SK_ASSERT(n <= socks->out_n);
    socks->out_n -= n;
    memmove(socks->out, socks->out + n, socks->out_n);
}

static void fail(struct sk_socks *socks, enum sk_socks_failure failure)
{
    socks->stage = SK_SOCKS_FAILED;
    socks->failure = failure;
    socks->out_n = 0;
}

/* How long what this stage waits for is, as far as that is known yet. */
static size_t stage_size(const struct sk_socks *socks)
{
    static const uint8_t sizes[] = {
        [SK_SOCKS_METHOD] = 2, [SK_SOCKS_ACCOUNT] = 2, [SK_SOCKS_REPLY] = REPLY_HEAD,
        [SK_SOCKS_OPEN] = 0,   [SK_SOCKS_FAILED] = 0,
    };
    return socks->stage == SK_SOCKS_REPLY_REST ? 3 + sk_socks_address_size(socks->in + 3)
                                               : sizes[socks->stage];
}

size_t sk_socks_wanted(const struct sk_socks *socks)
{
    size_t size = stage_size(socks);
    return size > socks->in_n ? size - socks->in_n : 0;
}

static void say_request(struct sk_socks *socks)
{
    memcpy(socks->out, socks->request, socks->request_n);
    socks->out_n = socks->request_n;
    socks->stage = SK_SOCKS_REPLY;
}

static void say_account(struct sk_socks *socks)
{
    const struct sk_socks_account *account = socks->account;
    size_t user = strlen(account->user), password = strlen(account->password);
    uint8_t *at = socks->out;
    *at++ = ACCOUNT_VERSION;
    *at++ = (uint8_t)user;
    memcpy(at, account->user, user);
    at += user;
    *at++ = (uint8_t)password;
    memcpy(at, account->password, password);
    socks->out_n = 3 + user + password;
    socks->stage = SK_SOCKS_ACCOUNT;
}

static void on_method(struct sk_socks *socks)
{
    if (socks->in[0] != VERSION)
        fail(socks, SK_SOCKS_NOT_SOCKS);
    else if (socks->in[1] == METHOD_NONE)
        say_request(socks);
    else if (socks->in[1] == METHOD_ACCOUNT && has_account(socks))
        say_account(socks);
    else
        fail(socks, SK_SOCKS_WANTS_ACCOUNT);
}

/* RFC 1929 has a version of its own here; some proxies repeat theirs. */
static void on_account(struct sk_socks *socks)
{
    if (socks->in[1] == 0)
        say_request(socks);
    else
        fail(socks, SK_SOCKS_ACCOUNT_REFUSED);
}

static void on_reply(struct sk_socks *socks)
{
    if (socks->in[0] != VERSION)
        fail(socks, SK_SOCKS_NOT_SOCKS);
    else if (socks->in[1] != 0)
        fail(socks,
             socks->in[1] <= SK_SOCKS_NO_ADDRESS_TYPE ? socks->in[1] : SK_SOCKS_UNKNOWN_REPLY);
    else if (sk_socks_address_size(socks->in + 3) == 0)
        fail(socks, SK_SOCKS_NOT_SOCKS);
    else
        socks->stage = SK_SOCKS_REPLY_REST;
}

static void on_reply_rest(struct sk_socks *socks)
{
    size_t size;
    int err = sk_socks_read_address(sk_bytes(socks->in + 3, socks->in_n - 3), &socks->bound, &size);
    SK_ASSERT(!err);
    socks->stage = SK_SOCKS_OPEN;
}

void sk_socks_input(struct sk_socks *socks, struct sk_bytes bytes)
{
    static void (*const steps[])(struct sk_socks * socks) = {
        [SK_SOCKS_METHOD] = on_method,
        [SK_SOCKS_ACCOUNT] = on_account,
        [SK_SOCKS_REPLY] = on_reply,
        [SK_SOCKS_REPLY_REST] = on_reply_rest,
    };
    SK_ASSERT(bytes.n <= sk_socks_wanted(socks));
    if (bytes.n == 0)
        return;
    memcpy(socks->in + socks->in_n, bytes.p, bytes.n);
    socks->in_n += bytes.n;
    if (sk_socks_wanted(socks))
        return;
    steps[socks->stage](socks);
    if (socks->stage != SK_SOCKS_REPLY_REST)
        socks->in_n = 0;
}

const char *sk_socks_failure_text(enum sk_socks_failure failure)
{
    static const char *const texts[] = {
        [SK_SOCKS_NO_FAILURE] = "did nothing wrong",
        [SK_SOCKS_GENERAL] = "failed, it does not say why",
        [SK_SOCKS_NOT_ALLOWED] = "does not allow it by its rules",
        [SK_SOCKS_NETWORK_UNREACHABLE] = "cannot reach that network",
        [SK_SOCKS_HOST_UNREACHABLE] = "cannot reach that host",
        [SK_SOCKS_REFUSED] = "was refused there",
        [SK_SOCKS_TTL_EXPIRED] = "got no answer from there",
        [SK_SOCKS_NO_COMMAND] = "cannot do that",
        [SK_SOCKS_NO_ADDRESS_TYPE] = "does not know that kind of address",
        [SK_SOCKS_NOT_SOCKS] = "does not speak SOCKS5",
        [SK_SOCKS_WANTS_ACCOUNT] = "wants a user name and a password",
        [SK_SOCKS_ACCOUNT_REFUSED] = "refuses this user name or password",
        [SK_SOCKS_UNKNOWN_REPLY] = "refuses with an unknown number",
    };
    return texts[failure];
}
