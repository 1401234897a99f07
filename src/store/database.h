/*
 * An SQLite file of our own kind: opened, created where it is new, refused where it is another's.
 * Layer: store.
 *
 * A kind of file is known by its application_id and its version (user_version), which the SQL that
 * creates it sets. The first failure is kept, in words: what follows from it would hide it.
 */
#ifndef SK_STORE_DATABASE_H
#define SK_STORE_DATABASE_H

#include <sqlite3.h>
#include <stdbool.h>

#define SK_DATABASE_REASON_MAX 512

struct sk_database {
    sqlite3 *db;
    char *path;
    char reason[SK_DATABASE_REASON_MAX]; /* "PATH: why" */
    bool failed;
};

/* Opens or creates the file. After a failure, too, close() is called. SKEP_ERR_STORE,
 * SKEP_ERR_NOMEM. */
int sk_database_open(struct sk_database *database, const char *path);
/* Opens a file that is there, for reading only. As open(). */
int sk_database_open_to_read(struct sk_database *database, const char *path);
/* What is open is closed; statements were finalized before. */
void sk_database_close(struct sk_database *database);
/*
 * Sees whether the file is of this kind; a new one is made so by `schema`, which sets both numbers.
 * One of an older version is brought up to this one by `upgrade`, or refused where that is NULL. In
 * one transaction: two programs may come upon a file together. SKEP_ERR_STORE.
 */
int sk_database_claim(struct sk_database *database, int application, int version,
                      const char *schema, int (*upgrade)(struct sk_database *database));
/* Sees whether a file to be read is of this kind, of this version or an older one; SKEP_ERR_STORE
 * says what it is `otherwise` (static), or that it is newer. */
int sk_database_recognize(struct sk_database *database, int application, int version,
                          const char *otherwise);
/* Both return SKEP_ERR_STORE: with SQLite's words, with ours (static or copied). */
int sk_database_fail(struct sk_database *database);
int sk_database_refuse(struct sk_database *database, const char *why);
/* Statements without values. SKEP_ERR_STORE. */
int sk_database_execute(struct sk_database *database, const char *sql);
/* SKEP_ERR_STORE; the caller finalizes. */
int sk_database_prepare(struct sk_database *database, const char *sql,
                        sqlite3_stmt **ret_statement);
/* Ends the transaction as err says; whatever failed, none is left open. Returns err, or its own. */
int sk_database_end(struct sk_database *database, int err);

#endif
