#include "store/database.h"

#include <skep/err.h>

#include "base/mem.h"

#include <stdio.h>
#include <sys/stat.h>

#define BUSY_MS 5000 /* how long another writer's burst is waited for */

int sk_database_refuse(struct sk_database *database, const char *why)
{
    if (!database->failed)
        snprintf(database->reason, sizeof database->reason, "%s: %s", database->path, why);
    database->failed = true;
    return SKEP_ERR_STORE;
}

int sk_database_fail(struct sk_database *database)
{
    return sk_database_refuse(database, sqlite3_errmsg(database->db));
}

int sk_database_execute(struct sk_database *database, const char *sql)
{
    bool done = sqlite3_exec(database->db, sql, NULL, NULL, NULL) == SQLITE_OK;
    return done ? 0 : sk_database_fail(database);
}

int sk_database_prepare(struct sk_database *database, const char *sql, sqlite3_stmt **ret_statement)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(database->db, sql, -1, &statement, NULL) != SQLITE_OK)
        return sk_database_fail(database);
    *ret_statement = statement;
    return 0;
}

int sk_database_end(struct sk_database *database, int err)
{
    if (!err)
        err = sk_database_execute(database, "COMMIT");
    if (err && !sqlite3_get_autocommit(database->db))
        sqlite3_exec(database->db, "ROLLBACK", NULL, NULL, NULL);
    return err;
}

static int read_int(struct sk_database *database, const char *sql, sqlite3_int64 *ret_value)
{
    sqlite3_stmt *query;
    int err = sk_database_prepare(database, sql, &query);
    if (err)
        return err;
    err = sqlite3_step(query) == SQLITE_ROW ? 0 : sk_database_fail(database);
    if (!err)
        *ret_value = sqlite3_column_int64(query, 0);
    sqlite3_finalize(query);
    return err;
}

static int refuse_newer(struct sk_database *database, sqlite3_int64 its_version, int version,
                        const char *advice)
{
    char why[128];
    snprintf(why, sizeof why,
             "was made by a newer skep (its format is %lld, this one knows up to %d); %s",
             (long long)its_version, version, advice);
    return sk_database_refuse(database, why);
}

static int check_or_create(struct sk_database *database, int application, int version,
                           const char *schema, int (*upgrade)(struct sk_database *database))
{
    sqlite3_int64 its_application, its_version, things;
    int err = read_int(database, "PRAGMA application_id", &its_application);
    if (!err)
        err = read_int(database, "PRAGMA user_version", &its_version);
    if (!err)
        err = read_int(database, "SELECT count(*) FROM sqlite_master", &things);
    if (err)
        return err;
    if (things == 0 && its_application == 0 && its_version == 0)
        return sk_database_execute(database, schema);
    if (its_application != application)
        return sk_database_refuse(database,
                                  "a database of another program; nothing was written to it");
    if (its_version > version)
        return refuse_newer(database, its_version, version, "use another file");
    if (its_version < version && (!upgrade || its_version < 1))
        return sk_database_refuse(database, "was made by an older skep; use another file");
    return its_version < version ? upgrade(database) : 0;
}

int sk_database_claim(struct sk_database *database, int application, int version,
                      const char *schema, int (*upgrade)(struct sk_database *database))
{
    int err = sk_database_execute(database, "BEGIN IMMEDIATE");
    if (!err)
        err = sk_database_end(database,
                              check_or_create(database, application, version, schema, upgrade));
    return err;
}

int sk_database_recognize(struct sk_database *database, int application, int version,
                          const char *otherwise)
{
    sqlite3_int64 its_application, its_version;
    int err = read_int(database, "PRAGMA application_id", &its_application);
    if (!err)
        err = read_int(database, "PRAGMA user_version", &its_version);
    if (err)
        return err;
    if (its_application != application)
        return sk_database_refuse(database, otherwise);
    return its_version > version ? refuse_newer(database, its_version, version, "read it with that")
                                 : 0;
}

static int open_as(struct sk_database *database, const char *path, int flags)
{
    *database = (struct sk_database){.path = sk_mem_strdup(path)};
    if (!database->path)
        return SKEP_ERR_NOMEM;
    struct stat about;
    if (stat(path, &about) == 0 && !S_ISREG(about.st_mode)) /* a pipe would be waited for */
        return sk_database_refuse(database, "is not a regular file");
    if (sqlite3_open_v2(path, &database->db, flags, NULL) != SQLITE_OK)
        return sk_database_fail(database);
    sqlite3_busy_timeout(database->db, BUSY_MS);
    return 0;
}

int sk_database_open(struct sk_database *database, const char *path)
{
    return open_as(database, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
}

int sk_database_open_to_read(struct sk_database *database, const char *path)
{
    return open_as(database, path, SQLITE_OPEN_READONLY);
}

void sk_database_close(struct sk_database *database)
{
    sqlite3_close(database->db);
    sk_mem_free(database->path);
}
