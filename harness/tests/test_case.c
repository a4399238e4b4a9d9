/* test_case.c: cases as text, right and wrong, on the real table of ops. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../case.h"
#include "../fill.h"
#include "../number.h"

static bf_case_list list;
static bf_error err;

static int parse(const char *line) {
    bf_case_list_free(&list);
    err.text[0] = 0;
    return bf_case_parse_line(line, strlen(line), "a.case", 7, &list, &err);
}

static void check_round_trip(const bf_case *c) {
    bf_case_list again = {0};
    cr_assert_eq(bf_case_parse_line(c->line, strlen(c->line), NULL, 0, &again, &err), 0, "%s: %s", c->line, err.text);
    cr_assert_eq(again.count, 1, "%s", c->line);
    cr_assert_str_eq(again.item[0].line, c->line);
    cr_assert_eq(memcmp(&again.item[0].problem, &c->problem, sizeof c->problem), 0, "%s", c->line);
    cr_assert(again.item[0].fill == c->fill && again.item[0].seed == c->seed);
    bf_case_list_free(&again);
}

/* ---- right ---- */

Test(case_line, canonical_order_defaults_left_out_seed_always) {
    static const struct {
        const char *line, *canonical;
    } row[] = {
        {"q4k_matvec k=256 m=8", "q4k_matvec m=8 k=256 seed=1"},
        {"  q4k_matvec\tm=8  k=2^12 n=1 x=f32 fill=gauss tier=quick # tail", "q4k_matvec m=8 k=4096 seed=1"},
        {"q4k_matvec seed=0 fill=outlier x=bf16 n=8 k=512 m=3\r", "q4k_matvec m=3 k=512 n=8 x=bf16 fill=outlier seed=0"},
        {"q4k_dequant m=1 k=256 tier=full kernel=*_vec expect=zeros witness=dsc-fp16",
         "q4k_dequant m=1 k=256 witness=dsc-fp16 expect=zeros kernel=*_vec tier=full seed=1"},
        {"convert n=7 to=f16 from=f32 saturate=1 count=0 seed=2^63",
         "convert n=7 from=f32 to=f16 saturate=1 seed=9223372036854775808"},
        {"q4k_matvec m=1 k=256 scale=0x1p-24", "q4k_matvec m=1 k=256 scale=2^-24 seed=1"},
        {"q4k_matvec m=1 k=256 scale=1e0", "q4k_matvec m=1 k=256 seed=1"},
        {"q4k_matvec m=1 k=256 scale=2^-3", "q4k_matvec m=1 k=256 scale=2^-3 seed=1"},
        {"q4k_matvec m=1 k=256 scale=2^4", "q4k_matvec m=1 k=256 scale=16 seed=1"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        cr_assert_eq(parse(row[i].line), 0, "%s: %s", row[i].line, err.text);
        cr_assert_eq(list.count, 1);
        cr_assert_str_eq(list.item[0].line, row[i].canonical);
        check_round_trip(&list.item[0]);
    }
    bf_case_list_free(&list);
}

Test(case_line, fields_arrive_where_the_op_wants_them) {
    cr_assert_eq(parse("q4k_matvec m=5 k=512 n=3 x=f16 fill=outlier seed=18446744073709551615 kernel=q4k_* expect=zeros"), 0);
    const bf_case *c = &list.item[0];
    cr_assert_str_eq(c->op->name, "q4k_matvec");
    for (const bf_field *f = c->op->fields; f->key; f++) {
        if (!strcmp(f->key, "m")) cr_assert_eq(c->problem.dim[f->slot], 5);
        if (!strcmp(f->key, "k")) cr_assert_eq(c->problem.dim[f->slot], 512);
        if (!strcmp(f->key, "n")) cr_assert_eq(c->problem.dim[f->slot], 3);
        if (!strcmp(f->key, "x")) cr_assert_eq(c->problem.type[f->slot], BF_F16);
    }
    cr_assert_str_eq(c->fill, "outlier");
    cr_assert_str_eq(c->kernel, "q4k_*");
    cr_assert_str_eq(c->expect, "zeros");
    cr_assert_str_eq(c->tier, "quick");
    cr_assert_str_eq(c->file, "a.case");
    cr_assert(c->seed == UINT64_MAX && c->lineno == 7 && !c->witness && !c->real);
    bf_case_list_free(&list);
}

Test(case_line, lists_multiply_out_the_last_fastest) {
    cr_assert_eq(parse("q4k_matvec m=8 k=256,512 n=1,2,8 x=f32,bf16 seed=1,2"), 0, "%s", err.text);
    cr_assert_eq(list.count, 24);
    cr_assert_str_eq(list.item[0].line, "q4k_matvec m=8 k=256 seed=1");
    cr_assert_str_eq(list.item[1].line, "q4k_matvec m=8 k=256 seed=2");
    cr_assert_str_eq(list.item[2].line, "q4k_matvec m=8 k=256 x=bf16 seed=1");
    cr_assert_str_eq(list.item[23].line, "q4k_matvec m=8 k=512 n=8 x=bf16 seed=2");
    for (size_t i = 0; i < list.count; i++) check_round_trip(&list.item[i]);
    bf_case_list_free(&list);
}

Test(case_line, nothing_on_the_line_is_no_case) {
    static const char *const blank[] = {"", "   ", "\t", "\r", "# q4k_matvec m=1", "  #", "# \xc3\xa9"};
    for (size_t i = 0; i < sizeof blank / sizeof *blank; i++) {
        cr_assert_eq(parse(blank[i]), 0, "%s", err.text);
        cr_assert_eq(list.count, 0);
    }
}

/* ---- wrong ---- */

Test(case_line, wrong_lines_name_the_place_the_key_and_the_mend) {
    static const struct {
        const char *line, *says;
    } row[] = {
        {"q4_matvec m=1 k=256", "unknown op 'q4_matvec' (did you mean q4k_matvec?)"},
        {"zzzzzzzzzz", "(known: convert, "},
        {"q4k_matvec m=1 kk=256", "kk: q4k_matvec has no such key (did you mean k?)"},
        {"q4k_matvec m=1 k=256 sede=3", "did you mean seed?"},
        {"q4k_matvec m=1 k=256 banana=3", "banana: q4k_matvec has no such key (known: "},
        {"q4k_matvec m=1 k=256 m=2", "m: given twice"},
        {"q4k_matvec m=1", "k: missing"},
        {"q4k_matvec", "m: missing"},
        {"q4k_matvec m=0 k=256", "m=0: out of range (1 to "},
        {"q4k_matvec m=-1 k=256", "m=-1: out of range"},
        {"q4k_matvec m=1 k=256 n=9", "n=9: out of range (1 to 8)"},
        {"q4k_matvec m=1 k=300", "k=300: not a multiple of 256 (use 256)"},
        {"q4k_matvec m=99999999999999999999 k=256", "m=99999999999999999999: out of range"},
        {"q4k_matvec m=2^64 k=256", "m=2^64: out of range"},
        {"q4k_matvec m=1.5 k=256", "m=1.5: not an integer"},
        {"q4k_matvec m=0x10 k=256", "not an integer"},
        {"q4k_matvec m=1, k=256", "m: empty value"},
        {"q4k_matvec m=,1 k=256", "m: empty value"},
        {"q4k_matvec m=1,,2 k=256", "m: empty value"},
        {"q4k_matvec m= k=256", "m: empty value"},
        {"q4k_matvec m=1,1 k=256", "m=1: listed twice"},
        {"q4k_matvec m = 1", "'m': not key=value"},
        {"q4k_matvec =1", "has no such key"},
        {"q4k_matvec m=1 k=256 x=fp32", "x=fp32: not an element type (known: f32, "},
        {"q4k_matvec m=1 k=256 x=i8", "x=i8: not a type this op takes here"},
        {"q4k_matvec m=1 k=256 fill=gaus", "fill=gaus: unknown (did you mean gauss?)"},
        {"q4k_matvec m=1 k=256 scale=inf", "scale=inf: not a number"},
        {"q4k_matvec m=1 k=256 scale=nan", "scale=nan: not a number"},
        {"q4k_matvec m=1 k=256 scale=1e999", "scale=1e999: out of range"},
        {"q4k_matvec m=1 k=256 scale=1e-999", "scale=1e-999: out of range"},
        {"q4k_matvec m=1 k=256 scale=1x", "scale=1x: not a number"},
        {"q4k_matvec m=1 k=256 seed=-1", "seed=-1: not an integer"},
        {"q4k_matvec m=1 k=256 seed=18446744073709551616", "seed=18446744073709551616: out of range"},
        {"q4k_matvec m=1 k=256 tier=slow", "tier=slow: unknown (known: quick, full, bench)"},
        {"q4k_matvec m=1 k=256 expect=ones", "expect=ones: unknown"},
        {"stream n=4 mode=cpy", "mode=cpy: unknown (did you mean copy?)"},
        {"q4k_matvec m=1 k=256 kernel=a\xff", "byte 30 is 0xff: not UTF-8"},
        {"q4k_matvec m=1\x01 k=256", "byte 15 is 0x01: a control character"},
        {"q4k_matvec m=1 \r k=256", "0x0d: a control character"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        cr_assert_eq(parse(row[i].line), -1, "accepted: %s", row[i].line);
        cr_assert(strstr(err.text, row[i].says), "%s: %s", row[i].line, err.text);
        cr_assert_eq(strncmp(err.text, "a.case:7: ", 10), 0, "%s", err.text);
        cr_assert_eq(list.count, 0);
    }
    cr_assert_eq(bf_case_parse_line("x", 1, NULL, 0, &list, &err), -1);
    cr_assert_eq(strncmp(err.text, "command line: ", 14), 0, "%s", err.text);
}

Test(case_line, a_nul_byte_is_named) {
    cr_assert_eq(bf_case_parse_line("q4k_matvec m=1\0 k=256", 21, "a.case", 1, &list, &err), -1);
    cr_assert(strstr(err.text, "byte 15 is 0x00"), "%s", err.text);
}

Test(case_line, limits_hold) {
    char line[8192] = "q4k_matvec m=1 k=256 kernel=";
    size_t n = strlen(line);
    memset(line + n, 'a', 4096 - n);
    line[4096] = 0;
    cr_assert_eq(parse(line), -1, "its canonical line is longer than a line may be");
    cr_assert(strstr(err.text, "written out is longer than 4096"), "%s", err.text);
    line[4096 - 7] = 0; /* room for " seed=1" */
    cr_assert_eq(parse(line), 0, "%s", err.text);
    check_round_trip(&list.item[0]);
    line[4096 - 7] = 'a', line[4096] = 'a', line[4097] = 0;
    cr_assert_eq(parse(line), -1);
    cr_assert(strstr(err.text, "4097 bytes (at most 4096"), "%s", err.text);
}

static void put_list(char *line, const char *key, int count) {
    char *p = line + strlen(line);
    p += sprintf(p, " %s=", key);
    for (int i = 1; i <= count; i++) p += sprintf(p, "%s%d", i > 1 ? "," : "", i);
}

Test(case_line, too_many_cases_are_refused_before_they_are_made) {
    char line[8192] = "q4k_matvec k=256 n=1,2,3,4,5,6,7,8";
    put_list(line, "m", 125), put_list(line, "seed", 100);
    cr_assert_eq(parse(line), 0, "%s", err.text);
    cr_assert_eq(list.count, 100000);
    strcat(line, ",101");
    cr_assert_eq(parse(line), -1);
    cr_assert(strstr(err.text, "seed: the lists multiply out to more than 100000"), "%s", err.text);
    strcpy(line, "q4k_matvec k=256");
    put_list(line, "m", 500), put_list(line, "n", 8), put_list(line, "seed", 400);
    cr_assert_eq(parse(line), -1);
    bf_case_list_free(&list);
}

/* ---- files ---- */

Test(case_text, lines_are_counted_and_an_error_takes_all_of_the_file_back) {
    static const char text[] = "# head\n\nconvert n=1 from=f32 to=f16\r\nq4k_dequant m=1 k=256 # tail\n";
    static const char wrong[] = "convert n=1 from=f32 to=f16\n\n\nconvert n=1 from=f32\n";
    cr_assert_eq(bf_case_parse_text(text, sizeof text - 1, "b.case", &list, &err), 0, "%s", err.text);
    cr_assert_eq(list.count, 2);
    cr_assert(list.item[0].lineno == 3 && list.item[1].lineno == 4);
    cr_assert_eq(bf_case_parse_text(wrong, sizeof wrong - 1, "c.case", &list, &err), -1);
    cr_assert_eq(strncmp(err.text, "c.case:4: to: missing", 21), 0, "%s", err.text);
    cr_assert_eq(list.count, 2, "what was there before stays");
    cr_assert_str_eq(list.item[1].file, "b.case");
    bf_case_list_free(&list);
}

Test(case_text, a_file_of_too_many_cases_is_refused) {
    char text[16384] = "q4k_matvec k=256";
    put_list(text, "m", 300), put_list(text, "seed", 200);
    strcat(text, "\nq4k_matvec k=512");
    put_list(text, "m", 200), put_list(text, "seed", 200);
    cr_assert_eq(bf_case_parse_text(text, strlen(text), "b.case", &list, &err), 0, "%s", err.text);
    cr_assert_eq(list.count, 100000);
    bf_case_list_free(&list);
    strcat(text, "\nconvert n=1 from=f32 to=f16\n");
    cr_assert_eq(bf_case_parse_text(text, strlen(text), "b.case", &list, &err), -1);
    cr_assert(strstr(err.text, "b.case:3: the file holds more than 100000 cases"), "%s", err.text);
    cr_assert_eq(list.count, 0);
}

Test(case_text, a_byte_order_mark_and_a_missing_last_newline_do_no_harm) {
    static const char text[] = "\xef\xbb\xbf" "convert n=1 from=f32 to=f16";
    cr_assert_eq(bf_case_parse_text(text, sizeof text - 1, "b.case", &list, &err), 0, "%s", err.text);
    cr_assert_eq(list.count, 1);
    bf_case_list_free(&list);
}

Test(case_text, files_are_read_or_named) {
    char path[] = "/tmp/blackframe-case-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    cr_assert_eq(bf_case_load(path, &list, &err), 0, "an empty file has no cases: %s", err.text);
    cr_assert_eq(write(fd, "convert n=1 from=f32 to=f16\nx", 29), 29);
    cr_assert_eq(bf_case_load(path, &list, &err), -1);
    cr_assert(strstr(err.text, path) && strstr(err.text, ":2: unknown op 'x'"), "%s", err.text);
    cr_assert_eq(ftruncate(fd, (16 << 20) + 1), 0);
    cr_assert_eq(bf_case_load(path, &list, &err), -1);
    cr_assert(strstr(err.text, "16777217 bytes"), "%s", err.text);
    close(fd);
    unlink(path);
    cr_assert_eq(bf_case_load(path, &list, &err), -1);
    cr_assert(strstr(err.text, path), "%s", err.text);
    cr_assert_eq(bf_case_load("/tmp", &list, &err), -1);
    cr_assert(strstr(err.text, "regular"), "%s", err.text);
    cr_assert_eq(list.count, 0);
}

/* ---- the table of ops ---- */

Test(case_ops, declarations_are_sound) {
    static const char *const common[] = {"fill", "seed", "witness", "expect", "kernel", "tier"};
    for (int o = 0; bf_ops[o]; o++)
        for (const bf_field *f = bf_ops[o]->fields; f->key; f++) {
            int slots = f->kind == BF_FIELD_DIM ? BF_MAX_DIMS : f->kind == BF_FIELD_TYPE ? BF_MAX_TENSORS : BF_MAX_PARAMS;
            cr_assert(f->slot >= 0 && f->slot < slots, "%s %s", bf_ops[o]->name, f->key);
            cr_assert(f->kind != BF_FIELD_TYPE || f->types, "%s %s", bf_ops[o]->name, f->key);
            cr_assert(f->kind != BF_FIELD_CHOICE || (f->choices && f->choices[0]), "%s %s", bf_ops[o]->name, f->key);
            cr_assert(f->kind != BF_FIELD_DIM || (f->min >= 0 && f->min <= f->max && f->multiple >= 1 &&
                                                  f->max % f->multiple == 0 && f->max <= INT64_MAX - f->multiple),
                      "%s %s", bf_ops[o]->name, f->key);
            for (size_t i = 0; i < sizeof common / sizeof *common; i++) cr_assert_str_neq(f->key, common[i]);
            for (const bf_field *g = bf_ops[o]->fields; g != f; g++) cr_assert_str_neq(f->key, g->key);
        }
}

/* Every op, each required field at its smallest value, every fill. */
Test(case_ops, every_op_and_fill_makes_the_round_trip) {
    for (int o = 0; bf_ops[o]; o++)
        for (int fill = 0; fill < BF_FILLS; fill++) {
            char line[1024];
            int n = snprintf(line, sizeof line, "%s fill=%s", bf_ops[o]->name, bf_fill_name((bf_fill)fill));
            for (const bf_field *f = bf_ops[o]->fields; f->key; f++) {
                if (f->fallback) continue;
                n += snprintf(line + n, sizeof line - (size_t)n, " %s=", f->key);
                if (f->kind == BF_FIELD_DIM) n += snprintf(line + n, sizeof line - (size_t)n, "%lld", (long long)f->min);
                if (f->kind == BF_FIELD_TYPE)
                    n += snprintf(line + n, sizeof line - (size_t)n, "%s", bf_dtype_name((bf_dtype)__builtin_ctz(f->types)));
                if (f->kind == BF_FIELD_PARAM) n += snprintf(line + n, sizeof line - (size_t)n, "1");
                if (f->kind == BF_FIELD_CHOICE) n += snprintf(line + n, sizeof line - (size_t)n, "%s", f->choices[0]);
            }
            cr_assert_eq(parse(line), 0, "%s: %s", line, err.text);
            check_round_trip(&list.item[0]);
        }
    bf_case_list_free(&list);
}

/* ---- numbers ---- */

Test(case_number, doubles_become_short_text_with_the_same_bits) {
    static const double value[] = {0, -0.0, 1, -1, 0.1, 0x1p-24, -0x1p-24, 0x1p20, 0x1p-1074, 0x1.fffffffffffffp1023, 1e22,
                                   1.0 / 3, 65504, 4096, 0x1p-3, 2047, 1e-5};
    char text[BF_NUMBER_TEXT];
    for (size_t i = 0; i < sizeof value / sizeof *value; i++) {
        double back = 77;
        bf_number_text(value[i], text);
        cr_assert_eq(bf_number_f64(text, &back), BF_NUMBER_OK, "%s", text);
        cr_assert_eq(memcmp(&back, &value[i], sizeof back), 0, "%a became %s", value[i], text);
    }
    cr_assert_str_eq(bf_number_text(0x1p-24, text), "2^-24");
    cr_assert_str_eq(bf_number_text(-0x1p-24, text), "-2^-24");
    cr_assert_str_eq(bf_number_text(0.1, text), "0.1");
    cr_assert_str_eq(bf_number_text(4096, text), "4096");
}

Test(case_number, limits_of_integers) {
    uint64_t u = 7;
    int64_t i = 7;
    double d = 7;
    cr_assert(bf_number_u64("18446744073709551615", &u) == BF_NUMBER_OK && u == UINT64_MAX);
    cr_assert(bf_number_u64("18446744073709551616", &u) == BF_NUMBER_RANGE && u == UINT64_MAX);
    cr_assert(bf_number_u64("2^63", &u) == BF_NUMBER_OK && u == UINT64_C(1) << 63);
    cr_assert(bf_number_u64("2^64", &u) == BF_NUMBER_RANGE && bf_number_u64("2^99999999999999999999", &u) == BF_NUMBER_RANGE);
    cr_assert(bf_number_u64("", &u) == BF_NUMBER_BAD && bf_number_u64("2^", &u) == BF_NUMBER_BAD);
    cr_assert(bf_number_u64(" 1", &u) == BF_NUMBER_BAD && bf_number_u64("+1", &u) == BF_NUMBER_BAD);
    cr_assert(bf_number_i64("9223372036854775807", &i) == BF_NUMBER_OK && i == INT64_MAX);
    cr_assert(bf_number_i64("2^63", &i) == BF_NUMBER_RANGE && bf_number_i64("--1", &i) == BF_NUMBER_BAD);
    cr_assert(bf_number_f64("2^-1074", &d) == BF_NUMBER_OK && d == 0x1p-1074);
    cr_assert(bf_number_f64("2^-1075", &d) == BF_NUMBER_RANGE && bf_number_f64("2^1024", &d) == BF_NUMBER_RANGE);
    cr_assert(bf_number_f64("1e-310", &d) == BF_NUMBER_OK && d > 0);
    cr_assert(bf_number_f64(".", &d) == BF_NUMBER_BAD && bf_number_f64("-", &d) == BF_NUMBER_BAD);
}
