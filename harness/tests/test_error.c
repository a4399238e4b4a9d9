/* test_error.c: the one line that a person reads, and the sizes and names of types. */
#include <criterion/criterion.h>
#include <string.h>

#include "../op.h"
#include "../utf8.h"

Test(error, text_is_formatted_and_minus_one_returned) {
    bf_error err;
    cr_assert_eq(bf_fail(&err, "%s:%d: k=%d", "a.case", 3, 300), -1);
    cr_assert_str_eq(err.text, "a.case:3: k=300");
    cr_assert_eq(bf_fail(NULL, "nobody listens"), -1);
}

Test(error, an_error_may_quote_itself) {
    bf_error err;
    bf_fail(&err, "inner");
    bf_fail(&err, "outer: %s", err.text);
    cr_assert_str_eq(err.text, "outer: inner");
}

Test(error, what_a_terminal_would_obey_becomes_a_question_mark) {
    bf_error err;
    bf_fail(&err, "a\nb\tc\x1b[31md\x7f" "e\xc2\x9b" "f");
    cr_assert_str_eq(err.text, "a?b?c?[31md?e??f");
}

Test(error, what_is_not_utf8_becomes_a_question_mark_and_the_rest_stays) {
    bf_error err;
    bf_fail(&err, "\xc3\xa9 \xff \xc0\x80 \xed\xa0\x80 \xe2\x82\xac \xe2\x82");
    cr_assert_str_eq(err.text, "\xc3\xa9 ? ?? ??? \xe2\x82\xac ??");
}

Test(error, a_long_text_keeps_where_and_mend) {
    bf_error err;
    char path[3000];
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = 0;
    bf_fail(&err, "file %s: offset 12: damaged (mend it)", path);
    cr_assert_eq(strlen(err.text), sizeof err.text - 1);
    cr_assert_eq(strncmp(err.text, "file ppp", 8), 0);
    cr_assert(strstr(err.text, "..."));
    cr_assert(strstr(err.text, "offset 12: damaged (mend it)"));
}

Test(error, utf8_lengths_follow_the_standard) {
    static const struct {
        const char *bytes;
        size_t left, want;
    } row[] = {
        {"a", 1, 1},        {"", 0, 0},
        {"\xc2\x80", 2, 2}, {"\xc1\xbf", 2, 0},                     /* overlong */
        {"\xe0\xa0\x80", 3, 3}, {"\xe0\x9f\xbf", 3, 0},             /* overlong */
        {"\xed\x9f\xbf", 3, 3}, {"\xed\xa0\x80", 3, 0},             /* surrogate */
        {"\xf0\x90\x80\x80", 4, 4}, {"\xf0\x8f\xbf\xbf", 4, 0},     /* overlong */
        {"\xf4\x8f\xbf\xbf", 4, 4}, {"\xf4\x90\x80\x80", 4, 0},     /* beyond U+10FFFF */
        {"\xe2\x82\xac", 2, 0}, {"\x80", 1, 0}, {"\xe2\x28\xa1", 3, 0},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        cr_assert_eq(bf_utf8_length((const unsigned char *)row[i].bytes, row[i].left), row[i].want, "row %zu", i);
}

Test(dtype, names_go_there_and_back_and_sizes_are_the_formats) {
    static const struct {
        bf_dtype type;
        uint64_t bytes256; /* of 256 elements */
    } row[] = {{BF_F32, 1024}, {BF_F16, 512},  {BF_BF16, 512}, {BF_F64, 2048}, {BF_Q4_K, 144}, {BF_Q6_K, 210}, {BF_Q8_0, 272}, {BF_MXFP4, 136},
               {BF_I8, 256},   {BF_I32, 1024}, {BF_U32, 1024}, {BF_U64, 2048}};
    cr_assert_eq(sizeof row / sizeof *row, (size_t)BF_DTYPES - 1, "a type is missing from this table");
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        cr_assert_eq(bf_dtype_parse(bf_dtype_name(row[i].type)), row[i].type);
        cr_assert_eq(bf_dtype_bytes(row[i].type, 256), row[i].bytes256);
        cr_assert_eq(bf_dtype_bytes(row[i].type, 0), 0);
    }
    cr_assert_eq(bf_dtype_parse("float"), BF_NONE);
    cr_assert_eq(bf_dtype_parse("none"), BF_NONE);
    cr_assert_eq(bf_dtype_parse(NULL), BF_NONE);
    cr_assert_str_eq(bf_dtype_name((bf_dtype)77), "none");
}

Test(dtype, sizes_that_do_not_exist_are_never_small) {
    cr_assert_eq(bf_dtype_bytes(BF_Q4_K, 257), 0);
    cr_assert_eq(bf_dtype_bytes(BF_Q6_K, 128), 0);
    cr_assert_eq(bf_dtype_bytes(BF_Q8_0, 48), 0);
    cr_assert(bf_dtype_is_block(BF_Q8_0) && !bf_dtype_is_block(BF_F16) && !bf_dtype_is_block(BF_NONE));
    cr_assert_eq(bf_dtype_bytes(BF_F32, -1), 0);
    cr_assert_eq(bf_dtype_bytes(BF_NONE, 8), 0);
    cr_assert_eq(bf_dtype_bytes(BF_F64, INT64_MAX), UINT64_MAX);
    cr_assert_eq(bf_dtype_bytes(BF_F32, INT64_C(1) << 61), UINT64_C(1) << 63);
}
