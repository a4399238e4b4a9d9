/* devices.c: discovery, shown. */
#include "devices.h"

#include <string.h>

#include "record.h"

static const char *amount(unsigned long long bytes, char *out, size_t room) {
    if (!bytes)
        snprintf(out, room, "?");
    else if (bytes >= 1ull << 30)
        snprintf(out, room, "%.1f GiB", (double)bytes / (double)(1ull << 30));
    else if (bytes >= 1ull << 20)
        snprintf(out, room, "%.1f MiB", (double)bytes / (double)(1ull << 20));
    else
        snprintf(out, room, "%llu KiB", bytes >> 10);
    return out;
}

void bf_devices_print(FILE *f, const bf_discovery *d) {
    char memory[32], cache[32];
    fprintf(f, "Devices\n");
    for (int i = 0; i < d->devices; i++) {
        const bf_device *v = &d->device[i];
        fprintf(f, "  %-9s %d  %s\n               %s, runs %s; %d unit%s, memory %s, last-level cache %s\n", v->backend->name,
                v->index, v->name, v->arch, v->object, v->units, v->units == 1 ? "" : "s",
                amount(v->memory, memory, sizeof memory), amount(v->cache, cache, sizeof cache));
        if (v->driver[0] || v->identity[0])
            fprintf(f, "               %s%s%s\n", v->driver, v->driver[0] && v->identity[0] ? "; " : "", v->identity);
    }
    if (!d->devices) fprintf(f, "  none\n");
    if (d->findings) fprintf(f, "\nNot used, or worth knowing\n");
    for (int i = 0; i < d->findings; i++)
        fprintf(f, "  %s: %s\n      mend: %s\n", d->finding[i].what, d->finding[i].why, d->finding[i].mend);
}

void bf_devices_no_gpu(FILE *f, const bf_discovery *d) {
    int simt = 0;
    for (int i = 0; i < d->devices; i++) {
        if (d->device[i].backend->gpu) return;
        simt |= d->device[i].backend->target != BF_CPU;
    }
    fprintf(f, "\nno GPU ran%s\n", simt ? ": the GPU kernels' source was executed on the processor (simt)" : "");
}

json_t *bf_devices_json(const bf_discovery *d) {
    json_t *devices = json_array(), *findings = json_array();
    int bad = !devices || !findings;
    for (int i = 0; i < d->devices && !bad; i++) bad = json_array_append_new(devices, bf_record_device(&d->device[i], -1));
    for (int i = 0; i < d->findings && !bad; i++)
        bad = json_array_append_new(findings, bf_record_finding(&d->finding[i]));
    json_t *all = bad ? NULL : json_pack("{s:O, s:O}", "devices", devices, "findings", findings);
    json_decref(devices);
    json_decref(findings);
    return all;
}
