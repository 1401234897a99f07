#include "proto/tracker/tracker.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/mem.h"
#include "proto/tracker/station.h"
#include "wire/tracker_http.h"

#include <stdlib.h>
#include <strings.h>

#define HOST_MAX 256
#define RESOLVE_WAIT_S 20 /* for the driver's look-up; later ones are welcome too */
#define PACKET_MAX 4096   /* an announce and the options of the longest address */
#define URL_MAX (SK_METAINFO_URL_MAX + 2048)

enum { STATION_V4, STATION_V6, STATIONS };

/* The look-up of a UDP tracker's name. */
enum lookup_state {
    LOOKUP_NONE,  /* HTTP, or a literal address */
    LOOKUP_DUE,   /* to be asked at next_ns */
    LOOKUP_ASKED, /* under way until timer_ns */
    LOOKUP_DONE,
};

struct lookup {
    enum lookup_state state;
    bool send_ready, result_ready;
    unsigned failures;
    uint64_t asked_ns, timer_ns, next_ns;
    struct sk_tracker_result result;
};

struct sk_tracker {
    char *url;
    bool udp, stopped;
    char host[HOST_MAX];
    uint16_t port;
    struct sk_bytes url_data; /* path and query, inside url */
    struct sk_tracker_announce announce;
    struct sk_prng *prng;
    struct lookup lookup;
    struct sk_station stations[STATIONS]; /* HTTP uses the first */
    uint64_t now_ns;                      /* the latest that we were told */
    struct sk_buf out;                    /* the address or datagram that was handed out */
    struct sk_tracker_result given;       /* the result that was handed out */
    struct sk_announce_answer given_answer;
};

/* ------------------------------------------------------------------- the address */

static bool has_scheme(const char *url, const char *scheme)
{
    return strncasecmp(url, scheme, strlen(scheme)) == 0;
}

/* Host and port of "udp://host:port/path?query#fragment". */
static int parse_udp(struct sk_tracker *tracker, uint64_t now_ns)
{
    const char *host = tracker->url + strlen("udp://");
    size_t authority_n = strcspn(host, "/?#");
    const char *path = host + authority_n;
    tracker->url_data = sk_bytes(path, strcspn(path, "#"));
    char text[HOST_MAX];
    if (authority_n >= sizeof text || memchr(host, '@', authority_n))
        return SKEP_ERR_INVALID;
    memcpy(text, host, authority_n);
    text[authority_n] = 0;
    char *port = strrchr(text, ':');
    if (!port || !port[1] || strspn(port + 1, "0123456789") != strlen(port + 1) || port == text)
        return SKEP_ERR_INVALID;
    unsigned long number = strlen(port + 1) > 5 ? 0 : strtoul(port + 1, NULL, 10);
    if (number == 0 || number > UINT16_MAX)
        return SKEP_ERR_INVALID;
    tracker->port = (uint16_t)number;
    struct sk_endpoint literal;
    if (sk_endpoint_parse(text, 0, &literal) == 0) {
        bool v6 = literal.family == SK_FAMILY_V6;
        sk_station_move(&tracker->stations[v6 ? STATION_V6 : STATION_V4], &literal, now_ns);
        return 0;
    }
    *port = 0;
    if (strpbrk(text, "[]:"))
        return SKEP_ERR_INVALID;
    memcpy(tracker->host, text, sizeof text);
    tracker->lookup.state = LOOKUP_DUE;
    return 0;
}

static int parse_url(struct sk_tracker *tracker)
{
    for (const char *c = tracker->url; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return SKEP_ERR_INVALID;
    if (tracker->udp)
        return parse_udp(tracker, 0);
    const char *host = strstr(tracker->url, "://") + 3;
    return strcspn(host, "/?#") ? 0 : SKEP_ERR_INVALID;
}

/* ------------------------------------------------------------------- life */

int sk_tracker_new(const struct sk_tracker_config *config, struct sk_tracker **ret_tracker)
{
    bool udp = has_scheme(config->url, "udp://");
    if (!udp && !has_scheme(config->url, "http://") && !has_scheme(config->url, "https://"))
        return SKEP_ERR_UNSUPPORTED;
    if (strlen(config->url) > SK_METAINFO_URL_MAX)
        return SKEP_ERR_LIMIT;
    struct sk_tracker *tracker = sk_mem_calloc(1, sizeof *tracker);
    if (!tracker)
        return SKEP_ERR_NOMEM;
    tracker->udp = udp;
    tracker->announce = config->announce;
    tracker->announce.tracker_id = sk_bytes(NULL, 0);
    tracker->prng = config->prng;
    sk_buf_init(&tracker->out, udp ? PACKET_MAX : URL_MAX);
    sk_announce_answer_init(&tracker->given_answer);
    for (int i = 0; i < STATIONS; i++)
        sk_station_init(&tracker->stations[i], udp || i > 0, config->scrape, 0);
    tracker->url = sk_mem_strdup(config->url);
    int err = tracker->url ? parse_url(tracker) : SKEP_ERR_NOMEM;
    if (err < 0) {
        sk_tracker_free(tracker);
        return err;
    }
    *ret_tracker = tracker;
    return 0;
}

void sk_tracker_free(struct sk_tracker *tracker)
{
    if (!tracker)
        return;
    for (int i = 0; i < STATIONS; i++)
        sk_station_deinit(&tracker->stations[i]);
    sk_announce_answer_deinit(&tracker->given_answer);
    sk_buf_deinit(&tracker->out);
    sk_mem_free(tracker->url);
    sk_mem_free(tracker);
}

void sk_tracker_progress(struct sk_tracker *tracker, uint64_t uploaded, uint64_t downloaded,
                         uint64_t left, bool partial_seed)
{
    tracker->announce.partial_seed = partial_seed;
    tracker->announce.uploaded = uploaded;
    tracker->announce.downloaded = downloaded;
    tracker->announce.left = left;
}

void sk_tracker_completed(struct sk_tracker *tracker, uint64_t now_ns)
{
    tracker->now_ns = now_ns;
    for (int i = 0; i < STATIONS && !tracker->stopped; i++)
        sk_station_completed(&tracker->stations[i], now_ns);
}

bool sk_tracker_awaits(const struct sk_tracker *tracker, uint32_t request)
{
    const struct sk_station *station = &tracker->stations[0];
    return !tracker->udp && sk_station_listens(station) && station->transaction == request;
}

const char *sk_tracker_url(const struct sk_tracker *tracker)
{
    return tracker->url;
}

/* ------------------------------------------------------------------- the look-up */

static void lookup_failed(struct sk_tracker *tracker, const char *text, uint64_t now_ns)
{
    struct lookup *lookup = &tracker->lookup;
    lookup->result = (struct sk_tracker_result){.ask = SK_TRACKER_ANNOUNCE,
                                                .failure = SK_TRACKER_UNRESOLVED,
                                                .asked_ns = lookup->asked_ns,
                                                .answered_ns = now_ns};
    sk_tracker_text_copy(sk_bytes_text(text ? text : ""), lookup->result.text,
                         sizeof lookup->result.text);
    lookup->result_ready = true;
    lookup->send_ready = false;
    lookup->state = LOOKUP_DUE;
    lookup->next_ns = now_ns + sk_station_backoff_s(++lookup->failures) * SK_TRACKER_SECOND_NS;
}

static void lookup_begin(struct lookup *lookup, uint64_t now_ns)
{
    lookup->state = LOOKUP_ASKED;
    lookup->send_ready = true;
    lookup->asked_ns = now_ns;
    lookup->timer_ns = now_ns + RESOLVE_WAIT_S * (uint64_t)SK_TRACKER_SECOND_NS;
}

static void lookup_tick(struct sk_tracker *tracker, uint64_t now_ns)
{
    struct lookup *lookup = &tracker->lookup;
    if (lookup->send_ready || lookup->result_ready)
        return;
    if (lookup->state == LOOKUP_DUE && now_ns >= lookup->next_ns)
        lookup_begin(lookup, now_ns);
    else if (lookup->state == LOOKUP_ASKED && now_ns >= lookup->timer_ns)
        lookup_failed(tracker, "no answer to the look-up", now_ns);
}

/* Every address has failed and the next try is due: perhaps the name has moved. */
static bool wants_new_lookup(const struct sk_tracker *tracker, uint64_t now_ns)
{
    bool due = false;
    for (int i = 0; i < STATIONS; i++) {
        const struct sk_station *station = &tracker->stations[i];
        if (station->state == SK_STATION_OFF)
            continue;
        if (station->state != SK_STATION_WAIT || !station->failures)
            return false;
        due |= now_ns >= station->next_ns;
    }
    return due && tracker->lookup.state == LOOKUP_DONE;
}

void sk_tracker_input_resolved(struct sk_tracker *tracker, const struct sk_endpoint *endpoints,
                               size_t count, const char *text, uint64_t now_ns)
{
    static const uint8_t families[STATIONS] = {SK_FAMILY_V4, SK_FAMILY_V6};
    struct lookup *lookup = &tracker->lookup;
    tracker->now_ns = now_ns;
    if (tracker->stopped || lookup->state == LOOKUP_NONE || lookup->send_ready)
        return;
    bool found = false;
    for (int i = 0; i < STATIONS; i++) {
        size_t at = 0;
        while (at < count && endpoints[at].family != families[i])
            at++;
        if (at < count) {
            struct sk_endpoint endpoint = endpoints[at];
            endpoint.port = tracker->port;
            sk_station_move(&tracker->stations[i], &endpoint, now_ns);
            found = true;
        } else if (count && tracker->stations[i].state == SK_STATION_WAIT) {
            tracker->stations[i].state = SK_STATION_OFF;
        }
    }
    if (found) {
        lookup->state = LOOKUP_DONE;
        lookup->failures = 0;
        for (int i = 0; i < STATIONS; i++)
            sk_station_tick(&tracker->stations[i], tracker->prng, now_ns);
    } else if (lookup->state == LOOKUP_ASKED) {
        lookup_failed(tracker, text, now_ns);
    }
}

/* ------------------------------------------------------------------- inputs */

void sk_tracker_input_http(struct sk_tracker *tracker, uint32_t request, unsigned status,
                           struct sk_bytes body, uint64_t now_ns)
{
    struct sk_station *station = &tracker->stations[0];
    tracker->now_ns = now_ns;
    if (tracker->udp || !sk_station_listens(station) || station->transaction != request)
        return;
    sk_station_http(station, status, body, tracker->announce.info_hash, tracker->prng, now_ns);
}

bool sk_tracker_input_udp(struct sk_tracker *tracker, const struct sk_endpoint *from,
                          struct sk_bytes packet, uint64_t now_ns)
{
    struct sk_udp_head head;
    tracker->now_ns = now_ns;
    if (!tracker->udp || sk_tracker_udp_read_head(packet, &head) < 0)
        return false;
    for (int i = 0; i < STATIONS; i++) {
        struct sk_station *station = &tracker->stations[i];
        if (!sk_station_listens(station) || station->transaction != head.transaction ||
            !sk_endpoint_equal(&station->endpoint, from))
            continue;
        sk_station_udp(station, head.action, packet, tracker->prng, now_ns);
        return true;
    }
    return false;
}

void sk_tracker_input_unsent(struct sk_tracker *tracker, const struct sk_endpoint *to,
                             const char *text, uint64_t now_ns)
{
    tracker->now_ns = now_ns;
    for (int i = 0; i < STATIONS && tracker->udp; i++)
        if (sk_station_listens(&tracker->stations[i]) &&
            sk_endpoint_equal(&tracker->stations[i].endpoint, to))
            sk_station_fail(&tracker->stations[i], SK_TRACKER_UNSENT,
                            sk_bytes_text(text ? text : ""), now_ns);
}

void sk_tracker_stop(struct sk_tracker *tracker, uint64_t now_ns)
{
    tracker->now_ns = now_ns;
    tracker->stopped = true;
    tracker->lookup.send_ready = false;
    for (int i = 0; i < STATIONS; i++)
        sk_station_stop(&tracker->stations[i], tracker->prng, now_ns);
}

/* ------------------------------------------------------------------- outputs */

static void give_result(struct sk_tracker *tracker, const struct sk_tracker_result *result,
                        struct sk_tracker_out *ret_out)
{
    tracker->given = *result;
    *ret_out = (struct sk_tracker_out){.kind = SK_TRACKER_OUT_RESULT, .result = &tracker->given};
}

static bool give_station_result(struct sk_tracker *tracker, struct sk_station *station,
                                struct sk_tracker_out *ret_out)
{
    if (!station->result_ready)
        return false;
    station->result_ready = false;
    give_result(tracker, &station->result, ret_out);
    if (station->result.failure || station->result.ask == SK_TRACKER_SCRAPE)
        return true;
    tracker->given_answer = station->answer;
    tracker->given.announce = &tracker->given_answer;
    sk_announce_answer_init(&station->answer);
    return true;
}

static bool give_lookup(struct sk_tracker *tracker, struct sk_tracker_out *ret_out)
{
    struct lookup *lookup = &tracker->lookup;
    if (lookup->result_ready) {
        lookup->result_ready = false;
        give_result(tracker, &lookup->result, ret_out);
        return true;
    }
    if (!lookup->send_ready)
        return false;
    lookup->send_ready = false;
    *ret_out = (struct sk_tracker_out){
        .kind = SK_TRACKER_OUT_RESOLVE, .host = tracker->host, .port = tracker->port};
    return true;
}

static struct sk_tracker_announce announce_of(const struct sk_tracker *tracker,
                                              const struct sk_station *station)
{
    struct sk_tracker_announce announce = tracker->announce;
    announce.tracker_id = sk_bytes_text(station->tracker_id);
    announce.event = station->event;
    if (station->ask == SK_TRACKER_STOP)
        announce.want = 0;
    return announce;
}

static int write_packet(struct sk_tracker *tracker, const struct sk_station *station)
{
    struct sk_tracker_announce announce = announce_of(tracker, station);
    if (station->state == SK_STATION_CONNECT)
        return sk_tracker_udp_write_connect(&tracker->out, station->transaction);
    if (station->ask == SK_TRACKER_SCRAPE)
        return sk_tracker_udp_write_scrape(&tracker->out, station->connection, station->transaction,
                                           announce.info_hash);
    return sk_tracker_udp_write_announce(&tracker->out, station->connection, station->transaction,
                                         &announce, tracker->url_data);
}

static int write_url(struct sk_tracker *tracker, const struct sk_station *station)
{
    struct sk_tracker_announce announce = announce_of(tracker, station);
    if (station->ask == SK_TRACKER_SCRAPE)
        return sk_tracker_http_scrape_url(&tracker->out, tracker->url, announce.info_hash);
    return sk_tracker_http_announce_url(&tracker->out, tracker->url, &announce);
}

static bool give_station_send(struct sk_tracker *tracker, struct sk_station *station,
                              struct sk_tracker_out *ret_out)
{
    if (!station->send_ready)
        return false;
    station->send_ready = false;
    station->downloaded = tracker->announce.downloaded;
    tracker->out.n = 0;
    tracker->out.failed = false;
    int err = tracker->udp ? write_packet(tracker, station) : write_url(tracker, station);
    if (err == SKEP_ERR_UNSUPPORTED) {
        sk_station_skip_scrape(station);
        return false;
    }
    if (err < 0) {
        sk_station_fail(station, SK_TRACKER_NOMEM, sk_bytes(NULL, 0), tracker->now_ns);
        return give_station_result(tracker, station, ret_out);
    }
    if (tracker->udp)
        *ret_out = (struct sk_tracker_out){.kind = SK_TRACKER_OUT_UDP_SEND,
                                           .datagram = sk_buf_bytes(&tracker->out),
                                           .to = station->endpoint};
    else
        *ret_out = (struct sk_tracker_out){.kind = SK_TRACKER_OUT_HTTP_GET,
                                           .url = (const char *)tracker->out.p,
                                           .request = station->transaction,
                                           .timeout_ns = station->timer_ns - tracker->now_ns};
    return true;
}

int sk_tracker_next_output(struct sk_tracker *tracker, struct sk_tracker_out *ret_out)
{
    sk_announce_answer_deinit(&tracker->given_answer);
    if (give_lookup(tracker, ret_out))
        return 1;
    for (int i = 0; i < STATIONS; i++)
        if (give_station_result(tracker, &tracker->stations[i], ret_out) ||
            give_station_send(tracker, &tracker->stations[i], ret_out))
            return 1;
    return 0;
}

/* ------------------------------------------------------------------- time and state */

static bool lookup_holds(const struct sk_tracker *tracker)
{
    return !tracker->stopped &&
           (tracker->lookup.state == LOOKUP_DUE || tracker->lookup.state == LOOKUP_ASKED);
}

uint64_t sk_tracker_deadline(const struct sk_tracker *tracker)
{
    const struct lookup *lookup = &tracker->lookup;
    if (lookup->send_ready || lookup->result_ready)
        return 0;
    uint64_t first = SK_TIME_NEVER;
    for (int i = 0; i < STATIONS; i++) {
        const struct sk_station *station = &tracker->stations[i];
        bool held = station->state == SK_STATION_WAIT && lookup_holds(tracker);
        if (!held || station->result_ready)
            first = SK_MIN(first, sk_station_deadline(station));
    }
    if (lookup_holds(tracker))
        first = SK_MIN(first, lookup->state == LOOKUP_DUE ? lookup->next_ns : lookup->timer_ns);
    return first;
}

void sk_tracker_tick(struct sk_tracker *tracker, uint64_t now_ns)
{
    tracker->now_ns = now_ns;
    if (!tracker->stopped) {
        if (wants_new_lookup(tracker, now_ns))
            lookup_begin(&tracker->lookup, now_ns);
        lookup_tick(tracker, now_ns);
    }
    for (int i = 0; i < STATIONS; i++)
        if (tracker->stations[i].state != SK_STATION_WAIT || !lookup_holds(tracker))
            sk_station_tick(&tracker->stations[i], tracker->prng, now_ns);
}

static bool is_busy(const struct sk_station *station)
{
    return station->state == SK_STATION_CONNECT || station->state == SK_STATION_REQUEST;
}

/* Of several states the one that says most; ENDED where no address has any. */
static enum sk_tracker_state station_state(const struct sk_station *station)
{
    static const enum sk_tracker_state busy[] = {
        [SK_TRACKER_ANNOUNCE] = SK_TRACKER_ANNOUNCING,
        [SK_TRACKER_SCRAPE] = SK_TRACKER_SCRAPING,
        [SK_TRACKER_STOP] = SK_TRACKER_STOPPING,
    };
    if (is_busy(station))
        return busy[station->ask];
    if (station->state != SK_STATION_WAIT)
        return SK_TRACKER_ENDED;
    return station->failures  ? SK_TRACKER_FAILING
           : station->started ? SK_TRACKER_WAITING
                              : SK_TRACKER_ANNOUNCING;
}

enum sk_tracker_state sk_tracker_state(const struct sk_tracker *tracker)
{
    static const uint8_t rank[] = {
        [SK_TRACKER_STOPPING] = 6, [SK_TRACKER_RESOLVING] = 5, [SK_TRACKER_ANNOUNCING] = 4,
        [SK_TRACKER_SCRAPING] = 3, [SK_TRACKER_WAITING] = 2,   [SK_TRACKER_FAILING] = 1,
        [SK_TRACKER_ENDED] = 0,
    };
    enum sk_tracker_state best = SK_TRACKER_ENDED;
    if (lookup_holds(tracker))
        best = tracker->lookup.failures && tracker->lookup.state == LOOKUP_DUE
                   ? SK_TRACKER_FAILING
                   : SK_TRACKER_RESOLVING;
    for (int i = 0; i < STATIONS; i++) {
        enum sk_tracker_state state = station_state(&tracker->stations[i]);
        best = rank[state] > rank[best] ? state : best;
    }
    return best;
}

uint64_t sk_tracker_next_draw_ns(const struct sk_tracker *tracker)
{
    uint64_t answered = SK_TIME_NEVER, others = SK_TIME_NEVER;
    if (lookup_holds(tracker))
        return tracker->lookup.state == LOOKUP_DUE ? tracker->lookup.next_ns : 0;
    for (int i = 0; i < STATIONS; i++) {
        const struct sk_station *station = &tracker->stations[i];
        bool busy = is_busy(station);
        if (!(busy && station->ask != SK_TRACKER_STOP) && station->state != SK_STATION_WAIT)
            continue;
        uint64_t at = busy && station->ask == SK_TRACKER_ANNOUNCE ? 0 : station->next_ns;
        uint64_t *least = station->started && !station->failures ? &answered : &others;
        *least = SK_MIN(*least, at);
    }
    return answered != SK_TIME_NEVER ? answered : others;
}

const char *sk_tracker_failure_text(enum sk_tracker_failure failure)
{
    static const char *const texts[] = {
        [SK_TRACKER_ANSWERED] = "answered",
        [SK_TRACKER_UNRESOLVED] = "name not found",
        [SK_TRACKER_TIMEOUT] = "no answer in time",
        [SK_TRACKER_UNSENT] = "cannot be reached",
        [SK_TRACKER_STATUS] = "not a tracker's answer",
        [SK_TRACKER_MALFORMED] = "malformed answer",
        [SK_TRACKER_REFUSED] = "refused by the tracker",
        [SK_TRACKER_NOMEM] = "out of memory",
    };
    return (size_t)failure < SK_ARRAY_LEN(texts) ? texts[failure] : "unknown failure";
}
