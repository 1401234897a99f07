/* Prints the sample report: report_print json|jsonl|csv [anonymous|empty|hostile]. */
#include "report_sample.h"
#include "store/report_csv.h"
#include "store/report_json.h"

static const struct {
    const char *name;
    int (*write)(const struct sk_report *, const struct sk_report_style *, struct sk_buf *);
} formats[] = {
    {"json", sk_report_write_json}, {"jsonl", sk_report_write_jsonl}, {"csv", sk_report_write_csv}};

static void make_hostile(struct sk_report *report)
{
    for (size_t i = 0; i < report->peers_count; i++)
        snprintf(report->peers[i].client, SK_CLIENT_NAME_MAX, "=\"\xff\r\n\x1b[2J,\xe2\x80\xae%zu",
                 i);
    sk_mem_free(report->name);
    report->name = sk_mem_strdup("\xc2\x9b\x80</script>\"\\\n");
}

int main(int argc, char **argv)
{
    struct sk_anonymizer anonymizer;
    struct sk_report_style style = {0};
    struct sk_report report = {.copies = NAN, .pieces_missing = -1, .unseen_share_max = NAN};
    struct sk_buf out;
    const char *how = argc > 2 ? argv[2] : "";
    int err = -1;
    if (strcmp(how, "empty") != 0)
        sample_report(&report);
    if (strcmp(how, "hostile") == 0)
        make_hostile(&report);
    if (strcmp(how, "anonymous") == 0 && sk_anonymizer_init(&anonymizer, NULL) == 0)
        style.anonymizer = &anonymizer;
    sk_buf_init(&out, 1u << 24);
    for (size_t i = 0; argc > 1 && i < SK_ARRAY_LEN(formats); i++)
        if (strcmp(argv[1], formats[i].name) == 0)
            err = formats[i].write(&report, &style, &out);
    if (!err)
        fwrite(out.p, 1, out.n, stdout);
    sk_buf_deinit(&out);
    sk_report_deinit(&report);
    return err ? 1 : 0;
}
