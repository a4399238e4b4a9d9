/* Order statistics: exact on small samples, and the interval covers the true median about as often as it says. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>

#include "../statistics.h"

Test(statistics, of_nothing_is_nan) {
    double x[1];
    bf_summary s = bf_summarize(x, 0);
    cr_assert(isnan(s.median) && isnan(s.low) && isnan(s.high) && s.count == 0);
}

Test(statistics, median_of_odd_and_even) {
    double a[] = {3, 1, 2}, b[] = {4, 1, 3, 2};
    cr_assert_eq(bf_summarize(a, 3).median, 2);
    cr_assert_eq(bf_summarize(b, 4).median, 2.5);
    cr_assert_eq(b[0], 1, "sorted in place");
}

Test(statistics, few_samples_give_the_whole_range) {
    double a[] = {5, 1, 2, 9, 4};
    bf_summary s = bf_summarize(a, 5);
    cr_assert_eq(s.low, 1);
    cr_assert_eq(s.high, 9);
}

Test(statistics, one_outlier_does_not_move_the_median) {
    double a[101];
    for (int i = 0; i < 101; i++) a[i] = 1 + 1e-3 * i;
    a[3] = 1e9;
    bf_summary s = bf_summarize(a, 101);
    cr_assert(s.median < 1.06 && s.high < 1.2);
}

/* 95 % nominal; the outward rounding makes it a little more. */
Test(statistics, interval_covers_the_median) {
    uint64_t seed = 1;
    int covered = 0, runs = 2000;
    for (int r = 0; r < runs; r++) {
        double x[50];
        for (int i = 0; i < 50; i++) {
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            x[i] = (double)(seed >> 11) * 0x1p-53;
        }
        bf_summary s = bf_summarize(x, 50);
        covered += s.low <= 0.5 && s.high >= 0.5;
    }
    cr_assert(covered > 0.94 * runs && covered < 0.995 * runs, "covered %d of %d", covered, runs);
}
