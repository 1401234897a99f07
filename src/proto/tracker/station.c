#include "proto/tracker/station.h"

#include <skep/err.h>

#include "base/assert.h"
#include "base/heap.h"
#include "wire/tracker_http.h"

#include <stdio.h>

#define UDP_HEAD_SIZE 8 /* action and transaction id: an answer with nothing in it */

static uint64_t after_s(uint64_t now_ns, uint64_t seconds)
{
    return now_ns + seconds * SK_TRACKER_SECOND_NS;
}

void sk_station_init(struct sk_station *station, bool udp, bool scrape, uint64_t now_ns)
{
    *station = (struct sk_station){.udp = udp, .scrape = scrape, .next_ns = now_ns};
    station->state = udp ? SK_STATION_OFF : SK_STATION_WAIT;
    sk_announce_answer_init(&station->answer);
}

void sk_station_deinit(struct sk_station *station)
{
    sk_announce_answer_deinit(&station->answer);
}

static bool is_busy(const struct sk_station *station)
{
    return station->state == SK_STATION_CONNECT || station->state == SK_STATION_REQUEST;
}

bool sk_station_listens(const struct sk_station *station)
{
    return is_busy(station) && !station->send_ready && !station->result_ready;
}

void sk_station_move(struct sk_station *station, const struct sk_endpoint *endpoint,
                     uint64_t now_ns)
{
    if (station->state == SK_STATION_ENDED ||
        (station->state != SK_STATION_OFF && sk_endpoint_equal(&station->endpoint, endpoint)))
        return;
    station->endpoint = *endpoint;
    station->connection_end_ns = 0;
    station->send_ready = false;
    if (station->state != SK_STATION_WAIT)
        station->next_ns = now_ns;
    station->state = SK_STATION_WAIT;
}

/* ------------------------------------------------------------------- asking */

static bool in_haste(const struct sk_station *station)
{
    return station->stopping || station->ask == SK_TRACKER_STOP;
}

static unsigned tries_max(const struct sk_station *station)
{
    return station->udp && !in_haste(station) ? SK_TRACKER_UDP_TRIES : 1;
}

static void send_again(struct sk_station *station, uint64_t now_ns)
{
    uint64_t wait_s = in_haste(station) ? SK_TRACKER_STOP_WAIT_S
                      : station->udp    ? SK_TRACKER_UDP_WAIT_S << station->tries
                                        : SK_TRACKER_HTTP_WAIT_S;
    station->tries++;
    station->send_ready = true;
    station->timer_ns = after_s(now_ns, wait_s);
}

static void enter(struct sk_station *station, enum sk_station_state state, struct sk_prng *prng,
                  uint64_t now_ns)
{
    station->state = state;
    station->transaction = (uint32_t)sk_prng_u64(prng);
    station->tries = 0;
    send_again(station, now_ns);
}

static void begin(struct sk_station *station, enum sk_tracker_ask ask, struct sk_prng *prng,
                  uint64_t now_ns)
{
    bool connected = !station->udp || now_ns < station->connection_end_ns;
    station->ask = ask;
    station->event = ask == SK_TRACKER_STOP ? SK_TRACKER_STOPPED
                     : !station->started    ? SK_TRACKER_STARTED
                     : station->completed   ? SK_TRACKER_COMPLETED
                                            : SK_TRACKER_NONE;
    station->asked_ns = now_ns;
    station->stale = station->udp && connected;
    enter(station, connected ? SK_STATION_REQUEST : SK_STATION_CONNECT, prng, now_ns);
}

static void connect_anew(struct sk_station *station, struct sk_prng *prng, uint64_t now_ns)
{
    station->connection_end_ns = 0;
    station->stale = false;
    enter(station, SK_STATION_CONNECT, prng, now_ns);
}

/* ------------------------------------------------------------------- ending */

/* Fills the result in, but for what an answer adds. */
static struct sk_tracker_result *finish(struct sk_station *station, uint64_t now_ns)
{
    struct sk_tracker_result *result = &station->result;
    *result = (struct sk_tracker_result){.ask = station->ask,
                                         .from = station->endpoint,
                                         .asked_ns = station->asked_ns,
                                         .started = station->event == SK_TRACKER_STARTED,
                                         .downloaded = station->downloaded,
                                         .answered_ns = now_ns};
    station->result_ready = true;
    station->send_ready = false;
    station->state = station->ask == SK_TRACKER_STOP ? SK_STATION_ENDED : SK_STATION_WAIT;
    return result;
}

uint64_t sk_station_backoff_s(unsigned failures)
{
    uint64_t wait_s = SK_TRACKER_BACKOFF_MIN_S;
    while (--failures && wait_s < SK_TRACKER_BACKOFF_MAX_S)
        wait_s *= 2;
    return SK_MIN(wait_s, (uint64_t)SK_TRACKER_BACKOFF_MAX_S);
}

void sk_station_fail(struct sk_station *station, enum sk_tracker_failure failure,
                     struct sk_bytes text, uint64_t now_ns)
{
    struct sk_tracker_result *result = finish(station, now_ns);
    result->failure = failure;
    sk_tracker_text_copy(text, result->text, sizeof result->text);
    if (station->ask == SK_TRACKER_ANNOUNCE)
        station->next_ns = after_s(now_ns, sk_station_backoff_s(++station->failures));
}

void sk_station_skip_scrape(struct sk_station *station)
{
    station->send_ready = false;
    station->state = SK_STATION_WAIT;
}

/* How long a tracker that answered wants to be left alone; 0 where it does not say. */
static uint64_t wanted_wait_s(const struct sk_announce_answer *answer)
{
    return answer->min_interval_s ? answer->min_interval_s : answer->interval_s;
}

/* The tracker said no. BEP 31 lets it say until when. */
static void refuse(struct sk_station *station, const struct sk_announce_answer *answer,
                   uint64_t now_ns)
{
    sk_station_fail(station, SK_TRACKER_REFUSED, sk_bytes_text(answer->failure), now_ns);
    if (station->ask != SK_TRACKER_ANNOUNCE)
        return;
    uint64_t wait_s = answer->retry_s ? answer->retry_s : wanted_wait_s(answer);
    if (answer->retry_s == UINT32_MAX)
        station->state = SK_STATION_ENDED;
    else if (after_s(now_ns, wait_s) > station->next_ns || answer->retry_s)
        station->next_ns = after_s(now_ns, SK_MAX(wait_s, (uint64_t)SK_TRACKER_BACKOFF_MIN_S));
}

/* Takes the answer over. */
static void announced(struct sk_station *station, struct sk_announce_answer *answer,
                      struct sk_prng *prng, uint64_t now_ns)
{
    if (answer->failure[0]) {
        refuse(station, answer, now_ns);
        sk_announce_answer_deinit(answer);
        return;
    }
    finish(station, now_ns);
    sk_announce_answer_deinit(&station->answer);
    station->answer = *answer;
    if (station->ask == SK_TRACKER_STOP)
        return;
    uint64_t wait_s = wanted_wait_s(answer);
    wait_s = wait_s ? wait_s : SK_TRACKER_INTERVAL_DEFAULT_S;
    station->next_ns = after_s(now_ns, SK_MAX(wait_s, (uint64_t)SK_TRACKER_REPEAT_MIN_S));
    station->started = true;
    if (station->event == SK_TRACKER_COMPLETED)
        station->completed = false;
    if (station->completed)
        station->next_ns = now_ns;
    station->failures = 0;
    if (answer->tracker_id[0])
        memcpy(station->tracker_id, answer->tracker_id, sizeof station->tracker_id);
    if (station->scrape && !station->stopping) {
        station->scrape = false;
        begin(station, SK_TRACKER_SCRAPE, prng, now_ns);
    }
}

static void scraped(struct sk_station *station, const struct sk_scrape_answer *answer,
                    uint64_t now_ns)
{
    if (answer->failure[0]) {
        sk_station_fail(station, SK_TRACKER_REFUSED, sk_bytes_text(answer->failure), now_ns);
        return;
    }
    finish(station, now_ns)->scrape = *answer;
}

static void unread(struct sk_station *station, int err, uint64_t now_ns)
{
    sk_station_fail(station, err == SKEP_ERR_NOMEM ? SK_TRACKER_NOMEM : SK_TRACKER_MALFORMED,
                    sk_bytes(NULL, 0), now_ns);
}

/* ------------------------------------------------------------------- inputs */

static void udp_answer(struct sk_station *station, struct sk_bytes packet, struct sk_prng *prng,
                       uint64_t now_ns)
{
    struct sk_announce_answer announce;
    struct sk_scrape_answer scrape;
    int err;
    if (packet.n == UDP_HEAD_SIZE) { /* opentracker, of a torrent that is not on its list */
        sk_station_fail(station, SK_TRACKER_REFUSED, sk_bytes_text("(no text)"), now_ns);
        return;
    }
    if (station->ask == SK_TRACKER_SCRAPE) {
        err = sk_tracker_udp_read_scrape(packet, &scrape);
        if (!err)
            scraped(station, &scrape, now_ns);
    } else {
        err = sk_tracker_udp_read_announce(packet, station->endpoint.family, &announce);
        if (!err)
            announced(station, &announce, prng, now_ns);
    }
    if (err < 0)
        unread(station, err, now_ns);
}

void sk_station_udp(struct sk_station *station, enum sk_udp_action action, struct sk_bytes packet,
                    struct sk_prng *prng, uint64_t now_ns)
{
    enum sk_udp_action expected = station->state == SK_STATION_CONNECT ? SK_UDP_CONNECT
                                  : station->ask == SK_TRACKER_SCRAPE  ? SK_UDP_SCRAPE
                                                                       : SK_UDP_ANNOUNCE;
    if (action == SK_UDP_ERROR && station->stale) {
        connect_anew(station, prng, now_ns); /* it may have forgotten the id: one more chance */
    } else if (action == SK_UDP_ERROR) {
        char text[SK_TRACKER_TEXT_MAX] = "";
        sk_tracker_udp_read_error(packet, text);
        sk_station_fail(station, SK_TRACKER_REFUSED, sk_bytes_text(text), now_ns);
    } else if (action != expected) {
        unread(station, SKEP_ERR_MALFORMED, now_ns);
    } else if (action != SK_UDP_CONNECT) {
        udp_answer(station, packet, prng, now_ns);
    } else if (sk_tracker_udp_read_connect(packet, &station->connection) < 0) {
        unread(station, SKEP_ERR_MALFORMED, now_ns);
    } else {
        station->connection_end_ns = after_s(now_ns, SK_TRACKER_UDP_CONNECTION_S);
        enter(station, SK_STATION_REQUEST, prng, now_ns);
    }
}

/* Whether the body of an error page is a tracker's own refusal all the same. */
static bool refusal_in(struct sk_bytes body, struct sk_announce_answer *ret_answer)
{
    if (sk_tracker_http_read_announce(body, ret_answer) < 0)
        return false;
    if (ret_answer->failure[0])
        return true;
    sk_announce_answer_deinit(ret_answer);
    return false;
}

void sk_station_http(struct sk_station *station, unsigned status, struct sk_bytes body,
                     const uint8_t info_hash[20], struct sk_prng *prng, uint64_t now_ns)
{
    struct sk_announce_answer announce;
    struct sk_scrape_answer scrape;
    if (status == 0) {
        sk_station_fail(station, SK_TRACKER_UNSENT, body, now_ns);
        return;
    }
    if (status != 200) {
        char text[32];
        snprintf(text, sizeof text, "HTTP status %u", status);
        if (refusal_in(body, &announce)) {
            refuse(station, &announce, now_ns);
            sk_announce_answer_deinit(&announce);
        } else {
            sk_station_fail(station, SK_TRACKER_STATUS, sk_bytes_text(text), now_ns);
        }
        return;
    }
    int err;
    if (station->ask == SK_TRACKER_SCRAPE) {
        err = sk_tracker_http_read_scrape(body, info_hash, &scrape);
        if (!err)
            scraped(station, &scrape, now_ns);
    } else {
        err = sk_tracker_http_read_announce(body, &announce);
        if (!err)
            announced(station, &announce, prng, now_ns);
    }
    if (err < 0)
        unread(station, err, now_ns);
}

/* ------------------------------------------------------------------- time */

static void time_out(struct sk_station *station, struct sk_prng *prng, uint64_t now_ns)
{
    if (station->tries >= tries_max(station)) {
        sk_station_fail(station, SK_TRACKER_TIMEOUT, sk_bytes(NULL, 0), now_ns);
        return;
    }
    bool expired = station->udp && station->state == SK_STATION_REQUEST &&
                   (station->stale || now_ns >= station->connection_end_ns);
    if (expired)
        connect_anew(station, prng, now_ns);
    else
        send_again(station, now_ns);
}

void sk_station_tick(struct sk_station *station, struct sk_prng *prng, uint64_t now_ns)
{
    if (station->send_ready || station->result_ready)
        return;
    if (station->state == SK_STATION_WAIT && station->stopping) {
        station->stopping = false;
        begin(station, SK_TRACKER_STOP, prng, now_ns);
    } else if (station->state == SK_STATION_WAIT && now_ns >= station->next_ns)
        begin(station, SK_TRACKER_ANNOUNCE, prng, now_ns);
    else if (is_busy(station) && now_ns >= station->timer_ns)
        time_out(station, prng, now_ns);
}

void sk_station_stop(struct sk_station *station, struct sk_prng *prng, uint64_t now_ns)
{
    if (station->state == SK_STATION_ENDED || station->state == SK_STATION_OFF)
        return;
    if (in_haste(station))
        return;
    bool telling = is_busy(station) && station->event == SK_TRACKER_COMPLETED &&
                   station->ask == SK_TRACKER_ANNOUNCE;
    station->stopping = station->started && station->completed;
    if (telling) { /* not twice */
        station->timer_ns = SK_MIN(station->timer_ns, after_s(now_ns, SK_TRACKER_STOP_WAIT_S));
        return;
    }
    station->send_ready = false;
    if (station->started)
        begin(station, station->completed ? SK_TRACKER_ANNOUNCE : SK_TRACKER_STOP, prng, now_ns);
    else
        station->state = SK_STATION_ENDED;
}

void sk_station_completed(struct sk_station *station, uint64_t now_ns)
{
    station->completed = true;
    if (station->started && station->state == SK_STATION_WAIT && !station->failures)
        station->next_ns = now_ns;
}

uint64_t sk_station_deadline(const struct sk_station *station)
{
    if (station->send_ready || station->result_ready)
        return 0;
    if (is_busy(station))
        return station->timer_ns;
    if (station->state == SK_STATION_WAIT)
        return station->stopping ? 0 : station->next_ns;
    return SK_TIME_NEVER;
}
