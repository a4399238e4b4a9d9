/* devices_command.c: `blackframe devices`. */
#include <stdlib.h>
#include <string.h>

#include "devices.h"
#include "options.h"
#include "record.h"

static int write_json(const bf_options *o, const bf_discovery *found, bf_error *err) {
    bf_record *r = bf_record_open(o->json, NULL, err);
    if (!r) return -1;
    bf_record_line(r, bf_record_run("devices", o->argc, o->argv));
    json_t *all = bf_devices_json(found), *line;
    size_t i;
    json_array_foreach(json_object_get(all, "devices"), i, line) bf_record_line(r, json_incref(line));
    json_array_foreach(json_object_get(all, "findings"), i, line) bf_record_line(r, json_incref(line));
    json_decref(all);
    return bf_record_close(r, err);
}

int bf_command_devices(bf_options *o) {
    bf_error err = {{0}};
    bf_discovery *found = calloc(1, sizeof *found);
    if (!found) return BF_EXIT_FAILED;
    int status = bf_select_devices(&o->select, found, &err);
    if (status != BF_EXIT_USAGE) bf_devices_print(stdout, found);
    fflush(stdout);
    if (status) fprintf(stderr, "blackframe: %s\n", err.text);
    if (status != BF_EXIT_USAGE && o->json && write_json(o, found, &err)) {
        fprintf(stderr, "blackframe: %s\n", err.text);
        status = BF_EXIT_FAILED;
    }
    free(found);
    return status;
}
