/* devices_command.c: `blackframe devices`. */
#include <stdlib.h>
#include <string.h>

#include "devices.h"
#include "numerics/card.h"
#include "options.h"
#include "record.h"

static bf_record *start(bf_record *r, const bf_options *o, const bf_discovery *found) {
    bf_record_line(r, bf_record_run("devices", o->argc, o->argv));
    json_t *all = bf_devices_json(found), *line;
    size_t i;
    json_array_foreach(json_object_get(all, "devices"), i, line) bf_record_line(r, json_incref(line));
    json_array_foreach(json_object_get(all, "findings"), i, line) bf_record_line(r, json_incref(line));
    json_decref(all);
    return r;
}

/* The list and the cards, as wanted. An exit status, with err when it is not BF_EXIT_OK. */
static int show(const bf_options *o, const bf_discovery *found, bf_error *err) {
    int numerics = 0;
    bf_record *r = NULL;
    if (o->json && !(r = bf_record_open(o->json, NULL, err))) return BF_EXIT_USAGE;
    if (o->numerics) numerics = bf_card(o, found, r ? start(r, o, found) : NULL, stdout, err);
    else if (r) start(r, o, found);
    if (numerics == 1) bf_fail(err, "a device or a probe failed");
    if (r && numerics < 0) bf_record_abandon(r);
    else if (r && bf_record_close(r, numerics ? NULL : err)) return BF_EXIT_USAGE;
    return numerics == 3 ? BF_EXIT_NO_DEVICE : numerics > 0 ? BF_EXIT_FAILED : numerics ? BF_EXIT_USAGE : BF_EXIT_OK;
}

int bf_command_devices(bf_options *o) {
    bf_error err = {{0}};
    bf_discovery *found = calloc(1, sizeof *found);
    if (!found) {
        fprintf(stderr, "blackframe: out of memory\n");
        return BF_EXIT_USAGE;
    }
    if (!o->numerics && (o->select.kernel || o->select.twins)) {
        fprintf(stderr, "blackframe: --kernel and --twins are for --numerics\n");
        free(found);
        return BF_EXIT_USAGE;
    }
    if (o->select.word_count) {
        fprintf(stderr, "blackframe: devices takes no names: '%.60s' (--backend LIST keeps some)\n", o->select.words[0]);
        free(found);
        return BF_EXIT_USAGE;
    }
    int status = bf_select_devices(&o->select, found, &err);
    if (status != BF_EXIT_USAGE && !o->numerics) bf_devices_print(stdout, found);
    fflush(stdout);
    if (status) fprintf(stderr, "blackframe: %s\n", err.text);
    if (status != BF_EXIT_USAGE) {
        int shown = show(o, found, &err);
        if (shown) fprintf(stderr, "blackframe: %s\n", err.text);
        if (!status) status = shown;
    }
    free(found);
    return status;
}
