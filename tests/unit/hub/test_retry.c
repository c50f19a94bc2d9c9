/* SPDX-License-Identifier: Apache-2.0 */
#include "hub/retry.h"

#include "support/unit.h"

/* A try that failed, with a minute left. */
static kni_retry_facts failed(kn_http_failure failure, int status) {
    return (kni_retry_facts){
        .failure = failure,
        .http_status = status,
        .asked_ms = KNI_RETRY_NOT_ASKED,
        .connect_ms = 10000,
        .remaining_ms = 60000,
    };
}

static int64_t wait_of(kni_retry_facts facts) {
    int64_t wait = -1;
    assert_int_equal(kni_retry_decide(&facts, &wait), KNI_RETRY_WAIT);
    return wait;
}

static kni_retry decide(kni_retry_facts facts) {
    int64_t wait;
    return kni_retry_decide(&facts, &wait);
}

static void test_passing_troubles_are_tried_again(void **state) {
    (void)state;
    const int passing[] = {408, 429, 500, 502, 503, 504};
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
        assert_int_equal(wait_of(failed(KN_HTTP_DONE, passing[i])), 200);
    assert_int_equal(wait_of(failed(KN_HTTP_BROKEN, 0)), 200);
    assert_int_equal(wait_of(failed(KN_HTTP_BROKEN, 200)), 200);
    assert_int_equal(wait_of(failed(KN_HTTP_BROKEN, 503)), 200);
}

static void test_lasting_troubles_are_not_tried_again(void **state) {
    (void)state;
    const int lasting[] = {304, 400, 401, 403, 404, 410, 416, 418, 451, 501, 505};
    for (size_t i = 0; i < sizeof lasting / sizeof *lasting; i++) {
        assert_int_equal(decide(failed(KN_HTTP_DONE, lasting[i])), KNI_RETRY_GIVE_UP);
    }
    assert_int_equal(decide(failed(KN_HTTP_BROKEN, 404)), KNI_RETRY_GIVE_UP);
    assert_int_equal(decide(failed(KN_HTTP_SECURITY, 0)), KNI_RETRY_GIVE_UP);
    assert_int_equal(decide(failed(KN_HTTP_FAILED, 0)), KNI_RETRY_GIVE_UP);
    assert_int_equal(decide(failed(KN_HTTP_STOPPED, 200)), KNI_RETRY_GIVE_UP);
}

static void test_waits_double_and_tries_come_to_an_end(void **state) {
    (void)state;
    kni_retry_facts facts = failed(KN_HTTP_BROKEN, 0);
    const int64_t waits[] = {200, 400, 800, 1600, 3200};
    for (facts.failures = 0; facts.failures < 5; facts.failures++)
        assert_int_equal(wait_of(facts), waits[facts.failures]);
    assert_int_equal(decide(facts), KNI_RETRY_GIVE_UP);
}

static void test_a_host_is_tried_until_its_time_is_over(void **state) {
    (void)state;
    kni_retry_facts facts = failed(KN_HTTP_CONNECT, 0);
    facts.failures = 5;
    facts.elapsed_ms = 3000;
    assert_int_equal(wait_of(facts), 6400);
    facts.failures = 6;
    facts.elapsed_ms = 0;
    assert_int_equal(wait_of(facts), 8000);
    facts.failures = 1000;
    assert_int_equal(wait_of(facts), 8000);
    facts.elapsed_ms = 9900;
    assert_int_equal(wait_of(facts), 100); /* the last try comes when the time is over */
    facts.elapsed_ms = 10000;
    assert_int_equal(decide(facts), KNI_RETRY_GIVE_UP);
    facts.failure = KN_HTTP_RESOLVE;
    assert_int_equal(decide(facts), KNI_RETRY_GIVE_UP);
    facts.elapsed_ms = 0;
    assert_int_equal(wait_of(facts), 8000);
}

static void test_what_the_server_asks_for_counts_within_the_deadline(void **state) {
    (void)state;
    kni_retry_facts facts = failed(KN_HTTP_DONE, 429);
    facts.asked_ms = 59999;
    assert_int_equal(wait_of(facts), 59999);
    facts.asked_ms = 0;
    assert_int_equal(wait_of(facts), 200);
    facts.asked_ms = 60000;
    int64_t wait = 0;
    assert_int_equal(kni_retry_decide(&facts, &wait), KNI_RETRY_TOO_LONG);
    assert_int_equal(wait, 60000);
    facts.http_status = 404; /* nobody waits for that */
    assert_int_equal(decide(facts), KNI_RETRY_GIVE_UP);
}

static void test_impatience_gives_up(void **state) {
    (void)state;
    kni_retry_facts facts = failed(KN_HTTP_CONNECT, 0);
    facts.impatient = true;
    assert_int_equal(decide(facts), KNI_RETRY_GIVE_UP);
    facts = failed(KN_HTTP_DONE, 429);
    facts.impatient = true;
    facts.asked_ms = 90000;
    assert_int_equal(decide(facts), KNI_RETRY_GIVE_UP);
}

static void test_seconds_to_wait_are_read(void **state) {
    (void)state;
    assert_int_equal(kni_retry_asked_ms("0", NULL, NULL, NULL), 0);
    assert_int_equal(kni_retry_asked_ms("120", NULL, NULL, NULL), 120000);
    assert_int_equal(kni_retry_asked_ms("99999999999999999999999", NULL, NULL, NULL), 86400000);
    const char *none[] = {"", "-1", "1.5", "12x", " 1", "soon"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(kni_retry_asked_ms(none[i], NULL, NULL, NULL), KNI_RETRY_NOT_ASKED);
    assert_int_equal(kni_retry_asked_ms(NULL, NULL, NULL, NULL), KNI_RETRY_NOT_ASKED);
}

static void test_a_date_to_wait_for_is_measured_against_the_servers_clock(void **state) {
    (void)state;
    const char *now = "Tue, 29 Feb 2028 23:59:30 GMT";
    assert_int_equal(kni_retry_asked_ms("Wed, 01 Mar 2028 00:00:10 GMT", now, NULL, NULL), 40000);
    assert_int_equal(kni_retry_asked_ms("Wed, 01 Mar 2028 00:00:10 GMT", NULL, NULL, NULL),
                     KNI_RETRY_NOT_ASKED);
    assert_int_equal(kni_retry_asked_ms("Mon, 28 Feb 2028 00:00:10 GMT", now, NULL, NULL), 0);
    assert_int_equal(kni_retry_asked_ms("Thu, 01 Mar 2029 00:00:10 GMT", now, NULL, NULL),
                     86400000);
    assert_int_equal(kni_retry_asked_ms("Sat, 01 Jan 2028 00:00:00 GMT",
                                        "Fri, 31 Dec 2027 23:00:00 GMT", NULL, NULL),
                     3600000);
    const char *none[] = {"Wed, 01 Mar 2028 00:00:10",    "Wed, 01 Foo 2028 00:00:10 GMT",
                          "Wed 01 Mar 2028 00:00:10 GMT", "Wed, Mar 2028 00:00:10 GMT",
                          "Wed, 01 Mar 2028 0010 GMT",    "Wed, ",
                          "Wed, 01 Mar 28 00:00:10 GMT"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(kni_retry_asked_ms(none[i], now, NULL, NULL), KNI_RETRY_NOT_ASKED);
}

static void test_rate_limits_say_when_they_reset(void **state) {
    (void)state;
    assert_int_equal(kni_retry_asked_ms(NULL, NULL, "\"api\";r=0;t=55", NULL), 55000);
    assert_int_equal(kni_retry_asked_ms(NULL, NULL, "\"api\"; t=7; r=0", NULL), 7000);
    assert_int_equal(kni_retry_asked_ms(NULL, NULL, "\"api\";r=0", "9"), 9000);
    assert_int_equal(kni_retry_asked_ms("3", NULL, "\"api\";r=0;t=55", "9"), 3000);
    assert_int_equal(kni_retry_asked_ms(NULL, NULL, "t=5", NULL), KNI_RETRY_NOT_ASKED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_passing_troubles_are_tried_again),
        cmocka_unit_test(test_lasting_troubles_are_not_tried_again),
        cmocka_unit_test(test_waits_double_and_tries_come_to_an_end),
        cmocka_unit_test(test_a_host_is_tried_until_its_time_is_over),
        cmocka_unit_test(test_what_the_server_asks_for_counts_within_the_deadline),
        cmocka_unit_test(test_impatience_gives_up),
        cmocka_unit_test(test_seconds_to_wait_are_read),
        cmocka_unit_test(test_a_date_to_wait_for_is_measured_against_the_servers_clock),
        cmocka_unit_test(test_rate_limits_say_when_they_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
