#include "sim/net.h"

#include "base/assert.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/prng.h"
#include "sim/agenda.h"
#include "sim/pool.h"

#define HOSTS_MAX (1u << 24)

/* An address that a host behind NAT sent to. */
struct hole {
    uint64_t hash, at_ns;
};

struct nat {
    struct hole *holes;
    size_t count, capacity;
};

struct host {
    struct sk_endpoint address;
    bool up;
    uint64_t wake_ns;
    struct nat *nat;
};

struct sk_sim_net {
    struct sk_sim_net_config config;
    struct sk_prng prng;
    struct sk_sim_agenda agenda;
    struct sk_sim_pool pool;
    struct sk_map by_address; /* number + 1 */
    struct host *hosts;
    uint32_t hosts_count, hosts_capacity;
    uint64_t now_ns;
    struct sk_sim_datagram *shown; /* in the event that was given out */
    struct sk_sim_net_stats stats;
};

struct sk_sim_net *sk_sim_net_new(const struct sk_sim_net_config *config)
{
    struct sk_sim_net *net = sk_mem_calloc(1, sizeof *net);
    SK_ASSERT(net);
    net->config = *config;
    net->now_ns = SK_SIM_START;
    sk_prng_init(&net->prng, config->seed);
    sk_map_init(&net->by_address, sizeof(struct sk_endpoint), HOSTS_MAX, config->seed);
    return net;
}

void sk_sim_net_free(struct sk_sim_net *net)
{
    if (!net)
        return;
    for (uint32_t i = 0; i < net->hosts_count; i++) {
        if (net->hosts[i].nat)
            sk_mem_free(net->hosts[i].nat->holes);
        sk_mem_free(net->hosts[i].nat);
    }
    sk_mem_free(net->hosts);
    sk_map_deinit(&net->by_address);
    sk_sim_agenda_deinit(&net->agenda);
    sk_sim_pool_deinit(&net->pool);
    sk_mem_free(net);
}

uint64_t sk_sim_net_now(const struct sk_sim_net *net)
{
    return net->now_ns;
}

uint64_t sk_sim_net_rtt(const struct sk_sim_net *net)
{
    return net->config.rtt_ns;
}

void sk_sim_net_set_loss(struct sk_sim_net *net, double loss)
{
    net->config.loss = loss;
}

/* ---- hosts ---- */

/* Of IPv6, one /64 a host. */
static struct sk_endpoint draw_address(struct sk_sim_net *net)
{
    uint8_t addr[16];
    sk_prng_bytes(&net->prng, addr, sizeof addr);
    uint16_t port = (uint16_t)(1024 + sk_prng_below(&net->prng, 64000));
    if (net->config.family == SK_FAMILY_V4)
        return sk_endpoint_v4(addr, port);
    addr[0] = 0x2a;
    return sk_endpoint_v6(addr, port);
}

static void *number(uint32_t host)
{
    return (void *)((uintptr_t)host + 1);
}

uint32_t sk_sim_net_add(struct sk_sim_net *net, bool nat)
{
    if (net->hosts_count == net->hosts_capacity) {
        net->hosts_capacity = net->hosts_capacity ? 2 * net->hosts_capacity : 256;
        net->hosts = sk_mem_realloc(net->hosts, net->hosts_capacity, sizeof *net->hosts);
        SK_ASSERT(net->hosts);
    }
    struct host *host = &net->hosts[net->hosts_count];
    *host = (struct host){.up = true, .wake_ns = SK_TIME_NEVER};
    do {
        host->address = draw_address(net);
    } while (sk_endpoint_scope(&host->address) != SK_SCOPE_PUBLIC ||
             sk_map_get(&net->by_address, &host->address));
    if (nat) {
        host->nat = sk_mem_calloc(1, sizeof *host->nat);
        SK_ASSERT(host->nat);
    }
    int err = sk_map_put(&net->by_address, &host->address, number(net->hosts_count));
    SK_ASSERT(err == 0);
    return net->hosts_count++;
}

void sk_sim_net_set_up(struct sk_sim_net *net, uint32_t host, bool up)
{
    net->hosts[host].up = up;
    net->hosts[host].wake_ns = SK_TIME_NEVER;
}

const struct sk_endpoint *sk_sim_net_address(const struct sk_sim_net *net, uint32_t host)
{
    return &net->hosts[host].address;
}

uint32_t sk_sim_net_find(const struct sk_sim_net *net, const struct sk_endpoint *address)
{
    void *found = sk_map_get(&net->by_address, address);
    return found ? (uint32_t)((uintptr_t)found - 1) : SK_SIM_NO_HOST;
}

/* ---- NAT ---- */

static bool nat_admits(const struct sk_sim_net *net, const struct nat *nat,
                       const struct sk_endpoint *from)
{
    uint64_t hash = sk_endpoint_hash(from, 0);
    for (size_t i = 0; i < nat->count; i++) {
        if (nat->holes[i].hash == hash)
            return net->now_ns - nat->holes[i].at_ns <= net->config.nat_ns;
    }
    return false;
}

static void nat_forget(const struct sk_sim_net *net, struct nat *nat)
{
    size_t kept = 0;
    for (size_t i = 0; i < nat->count; i++) {
        if (net->now_ns - nat->holes[i].at_ns <= net->config.nat_ns)
            nat->holes[kept++] = nat->holes[i];
    }
    nat->count = kept;
}

static void nat_open(const struct sk_sim_net *net, struct nat *nat, const struct sk_endpoint *to)
{
    uint64_t hash = sk_endpoint_hash(to, 0);
    for (size_t i = 0; i < nat->count; i++) {
        if (nat->holes[i].hash == hash) {
            nat->holes[i].at_ns = net->now_ns;
            return;
        }
    }
    if (nat->count == nat->capacity)
        nat_forget(net, nat);
    if (nat->count == nat->capacity) {
        nat->capacity = nat->capacity ? 2 * nat->capacity : 16;
        nat->holes = sk_mem_realloc(nat->holes, nat->capacity, sizeof *nat->holes);
        SK_ASSERT(nat->holes);
    }
    nat->holes[nat->count++] = (struct hole){hash, net->now_ns};
}

/* ---- sending ---- */

static uint64_t draw_delay(struct sk_sim_net *net)
{
    double share = 1 + net->config.jitter * (2 * sk_prng_unit(&net->prng) - 1);
    return (uint64_t)((double)(net->config.rtt_ns / 2) * share);
}

void sk_sim_net_send_as(struct sk_sim_net *net, const struct sk_endpoint *from,
                        const struct sk_endpoint *to, struct sk_bytes bytes)
{
    net->stats.sent++;
    uint32_t host = sk_sim_net_find(net, to);
    if (host == SK_SIM_NO_HOST) {
        net->stats.to_nobody++;
        return;
    }
    if (net->config.loss > 0 && sk_prng_unit(&net->prng) < net->config.loss) {
        net->stats.lost++;
        return;
    }
    struct sk_sim_datagram *datagram = sk_sim_pool_take(&net->pool, bytes);
    datagram->from = *from;
    datagram->to = host;
    sk_sim_agenda_add(&net->agenda, net->now_ns + draw_delay(net), (uintptr_t)datagram);
}

void sk_sim_net_send(struct sk_sim_net *net, uint32_t host, const struct sk_endpoint *to,
                     struct sk_bytes bytes)
{
    struct host *sender = &net->hosts[host];
    if (!sender->up)
        return;
    if (sender->nat)
        nat_open(net, sender->nat, to);
    sk_sim_net_send_as(net, &sender->address, to, bytes);
}

/* A host's wake lies on the agenda as an odd number, which no datagram's address is. */
void sk_sim_net_wake(struct sk_sim_net *net, uint32_t host, uint64_t at_ns)
{
    at_ns = SK_MAX(at_ns, net->now_ns);
    if (at_ns >= net->hosts[host].wake_ns || !net->hosts[host].up)
        return;
    net->hosts[host].wake_ns = at_ns;
    sk_sim_agenda_add(&net->agenda, at_ns, (uintptr_t)host << 1 | 1);
}

/* ---- events ---- */

static void record(struct sk_sim_net *net, const struct sk_sim_event *event)
{
    net->stats.trace = sk_hash_mix(net->stats.trace ^ net->now_ns ^ (uint64_t)event->host << 32);
    if (event->kind == SK_SIM_DATAGRAM)
        net->stats.trace =
            sk_hash_bytes(event->bytes.p, event->bytes.n,
                          net->stats.trace ^ sk_endpoint_hash(&event->from, net->config.seed));
}

static bool wake(struct sk_sim_net *net, uint32_t number_of_host, struct sk_sim_event *ret_event)
{
    struct host *host = &net->hosts[number_of_host];
    if (host->wake_ns != net->now_ns)
        return false; /* an earlier one came in between */
    host->wake_ns = SK_TIME_NEVER;
    *ret_event = (struct sk_sim_event){.kind = SK_SIM_WAKE, .host = number_of_host};
    return true;
}

static bool deliver(struct sk_sim_net *net, struct sk_sim_datagram *datagram,
                    struct sk_sim_event *ret_event)
{
    const struct host *host = &net->hosts[datagram->to];
    net->shown = datagram;
    if (!host->up) {
        net->stats.to_nobody++;
        return false;
    }
    if (host->nat && !nat_admits(net, host->nat, &datagram->from)) {
        net->stats.filtered++;
        return false;
    }
    net->stats.delivered++;
    *ret_event = (struct sk_sim_event){.kind = SK_SIM_DATAGRAM,
                                       .host = datagram->to,
                                       .from = datagram->from,
                                       .bytes = sk_bytes(datagram->bytes, datagram->size)};
    return true;
}

int sk_sim_net_next(struct sk_sim_net *net, uint64_t until_ns, struct sk_sim_event *ret_event)
{
    const struct sk_sim_note *note;
    while ((note = sk_sim_agenda_first(&net->agenda)) && note->at_ns <= until_ns) {
        uintptr_t what = note->what;
        net->now_ns = note->at_ns;
        sk_sim_agenda_pop(&net->agenda);
        if (net->shown)
            sk_sim_pool_give(&net->pool, net->shown);
        net->shown = NULL;
        if (what & 1 ? wake(net, (uint32_t)(what >> 1), ret_event)
                     : deliver(net, (struct sk_sim_datagram *)what, ret_event)) {
            record(net, ret_event);
            return 1;
        }
    }
    net->now_ns = SK_MAX(net->now_ns, until_ns);
    return 0;
}

void sk_sim_net_stats(const struct sk_sim_net *net, struct sk_sim_net_stats *ret_stats)
{
    *ret_stats = net->stats;
}
