/*
 * An intrusive ring of links with a head: what lies in it is found by SK_CONTAINER_OF(). Put in at
 * the end, it keeps things in the order of time. Layer: base.
 */
#ifndef SK_BASE_LIST_H
#define SK_BASE_LIST_H

#include <stddef.h>

struct sk_link {
    struct sk_link *prev, *next;
};

static inline void sk_list_init(struct sk_link *head)
{
    head->prev = head->next = head;
}

/* The first, or NULL. */
static inline struct sk_link *sk_list_first(const struct sk_link *head)
{
    return head->next == head ? NULL : head->next;
}

/* The one after `link`, or NULL. */
static inline struct sk_link *sk_list_next(const struct sk_link *head, const struct sk_link *link)
{
    return link->next == head ? NULL : link->next;
}

static inline void sk_list_append(struct sk_link *head, struct sk_link *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

static inline void sk_list_remove(struct sk_link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
}

static inline void sk_list_move_last(struct sk_link *head, struct sk_link *link)
{
    sk_list_remove(link);
    sk_list_append(head, link);
}

#endif
