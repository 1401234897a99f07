#include "driver/guest.h"

#include <skep/err.h>

static void turn(struct sk_guest *guest);

static void on_timer(uv_timer_t *timer)
{
    turn(timer->data);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    turn(poll->data);
}

/* Its loop's next timer is the host's. */
static void arm(struct sk_guest *guest)
{
    int wait_ms = uv_backend_timeout(&guest->runtime->loop);
    uv_update_time(guest->timer.loop);
    if (wait_ms < 0)
        uv_timer_stop(&guest->timer);
    else
        uv_timer_start(&guest->timer, on_timer, (uint64_t)wait_ms, 0);
}

static void turn(struct sk_guest *guest)
{
    uv_run(&guest->runtime->loop, UV_RUN_NOWAIT);
    /* What the turn's events asked for: a loop that goes on would see to it before it sleeps. */
    sk_runtime_settle(guest->runtime);
    arm(guest);
    guest->turned(guest->ctx);
}

int sk_guest_init(struct sk_guest *guest, uv_loop_t *host, struct skep_runtime *runtime,
                  void (*turned)(void *ctx), void *ctx)
{
    *guest = (struct sk_guest){.turned = turned, .ctx = ctx};
    if (uv_poll_init(host, &guest->poll, uv_backend_fd(&runtime->loop)) != 0)
        return SKEP_ERR_NETWORK;
    uv_timer_init(host, &guest->timer);
    guest->poll.data = guest->timer.data = guest;
    guest->runtime = runtime;
    runtime->running = true;
    uv_poll_start(&guest->poll, UV_READABLE, on_readable);
    sk_guest_wake(guest);
    return 0;
}

void sk_guest_wake(struct sk_guest *guest)
{
    uv_timer_start(&guest->timer, on_timer, 0, 0);
}

void sk_guest_deinit(struct sk_guest *guest)
{
    if (!guest->runtime)
        return;
    guest->runtime = NULL;
    uv_close((uv_handle_t *)&guest->poll, NULL);
    uv_close((uv_handle_t *)&guest->timer, NULL);
}
