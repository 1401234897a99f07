#include "cmd/bootstrap.h"

#include <skep/dht.h>

#include "base/assert.h"
#include "base/endpoint.h"
#include "cmd/cmd.h"

/* Run by those who make libtorrent, BitTorrent, Transmission, uTorrent and BiglyBT. */
static const char *const usual_hosts[] = {
    "dht.libtorrent.org:25401", "router.bittorrent.com:6881", "dht.transmissionbt.com:6881",
    "router.utorrent.com:6881", "dht.aelitis.com:6881",
};

static bool is_loopback(const char *bind)
{
    struct sk_endpoint endpoint;
    return bind && !sk_endpoint_parse(bind, 1, &endpoint) &&
           sk_endpoint_scope(&endpoint) == SK_SCOPE_LOOPBACK;
}

int sk_bootstrap(const struct sk_options *options, struct skep_engine *engine, size_t *ret_count)
{
    const char *const *hosts = (const char *const *)options->bootstrap.list;
    size_t count = options->bootstrap.count;
    if (!count && !is_loopback(options->net.bind)) {
        hosts = usual_hosts;
        count = SK_ARRAY_LEN(usual_hosts);
    }
    for (size_t i = 0; i < count; i++) {
        int err = skep_dht_add_host(engine, hosts[i]);
        if (err == SKEP_ERR_LIMIT) {
            sk_complain("--bootstrap: so many hosts are not needed: %zu of %zu are used", i, count);
            break;
        }
        if (err) {
            sk_complain("--bootstrap='%.200s': %s", hosts[i], skep_err_text(err));
            return sk_exit_of(err);
        }
    }
    if (ret_count)
        *ret_count = count;
    return SK_EXIT_DONE;
}
