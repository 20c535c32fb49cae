/* Time as text and as numbers: the two clocks, and RFC 3339 both ways. */
#include "core/clock.h"

#include <time.h>

static uint64_t clock_ms(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t clock_monotonic_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

uint64_t clock_unix_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

/* A day of the proleptic Gregorian calendar. */
struct date {
    int64_t year;
    unsigned month, day; /* from 1 */
};

#define DAYS_PER_400_YEARS 146097
/* Days are counted from 0000-03-01, so that the leap day is the last of its year; 1970-01-01 is this many later. */
#define DAYS_TO_1970 719468

static int64_t days_of_date(struct date d)
{
    int64_t year = d.month <= 2 ? d.year - 1 : d.year;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t month_from_march = d.month > 2 ? d.month - 3 : d.month + 9;
    int64_t day_of_year = (153 * month_from_march + 2) / 5 + d.day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * DAYS_PER_400_YEARS + day_of_era - DAYS_TO_1970;
}

static struct date date_of_days(int64_t days_since_1970)
{
    int64_t days = days_since_1970 + DAYS_TO_1970;
    int64_t era = (days >= 0 ? days : days - DAYS_PER_400_YEARS + 1) / DAYS_PER_400_YEARS;
    int64_t day_of_era = days - era * DAYS_PER_400_YEARS;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    struct date d = {.day = (unsigned)(day_of_year - (153 * month_from_march + 2) / 5 + 1),
                     .month = (unsigned)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9)};

    d.year = era * 400 + year_of_era + (d.month <= 2);
    return d;
}

static void put_digits(char *dst, unsigned width, uint64_t value)
{
    while (width-- > 0) {
        dst[width] = (char)('0' + value % 10);
        value /= 10;
    }
}

#define LAST_MS_OF_9999 253402300799999ull

void rfc3339_format(char dst[RFC3339_LEN], uint64_t unix_ms)
{
    if (unix_ms > LAST_MS_OF_9999)
        unix_ms = LAST_MS_OF_9999;
    uint64_t seconds = unix_ms / 1000, of_day = seconds % 86400;
    struct date d = date_of_days((int64_t)(seconds / 86400));

    memcpy(dst, "0000-00-00T00:00:00.000Z", RFC3339_LEN);
    put_digits(dst, 4, (uint64_t)d.year);
    put_digits(dst + 5, 2, d.month);
    put_digits(dst + 8, 2, d.day);
    put_digits(dst + 11, 2, of_day / 3600);
    put_digits(dst + 14, 2, of_day / 60 % 60);
    put_digits(dst + 17, 2, of_day % 60);
    put_digits(dst + 20, 3, unix_ms % 1000);
}

/* Cuts `width` digits off *s. */
static bool take_digits(struct str *s, unsigned width, unsigned *value)
{
    if (s->n < width)
        return false;
    *value = 0;
    for (unsigned i = 0; i < width; i++) {
        if (s->p[i] < '0' || s->p[i] > '9')
            return false;
        *value = *value * 10 + (unsigned)(s->p[i] - '0');
    }
    s->p += width;
    s->n -= width;
    return true;
}

static bool take_char(struct str *s, char c)
{
    /* T and Z may be small letters (RFC 3339, 5.6) */
    if (s->n == 0 || (s->p[0] != c && !(c >= 'A' && c <= 'Z' && s->p[0] == (c | 0x20))))
        return false;
    s->p++;
    s->n--;
    return true;
}

static bool take_date(struct str *s, struct date *d)
{
    static const unsigned char lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    unsigned year;

    if (!take_digits(s, 4, &year) || !take_char(s, '-') || !take_digits(s, 2, &d->month) || !take_char(s, '-') ||
        !take_digits(s, 2, &d->day))
        return false;
    d->year = year;
    if (d->month < 1 || d->month > 12 || d->day < 1)
        return false;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return d->day <= lengths[d->month - 1] + (unsigned)(d->month == 2 && leap);
}

static bool take_time(struct str *s, unsigned *hour, unsigned *minute, unsigned *second)
{
    return take_digits(s, 2, hour) && *hour <= 23 && take_char(s, ':') && take_digits(s, 2, minute) && *minute <= 59 &&
           take_char(s, ':') && take_digits(s, 2, second) && *second <= 60;
}

/* The optional fraction of a second, cut at nanoseconds. */
static bool take_fraction(struct str *s, unsigned *ns)
{
    unsigned scale = 100000000, digit;

    *ns = 0;
    if (!take_char(s, '.'))
        return true;
    if (!take_digits(s, 1, &digit))
        return false;
    do {
        *ns += digit * scale;
        scale /= 10;
    } while (take_digits(s, 1, &digit));
    return true;
}

static bool take_offset(struct str *s, int64_t *seconds)
{
    unsigned hours, minutes;

    *seconds = 0;
    if (take_char(s, 'Z'))
        return true;
    bool west = take_char(s, '-');
    if (!west && !take_char(s, '+'))
        return false;
    if (!take_digits(s, 2, &hours) || hours > 23 || !take_char(s, ':') || !take_digits(s, 2, &minutes) || minutes > 59)
        return false;
    *seconds = (hours * 60 + minutes) * 60;
    if (west)
        *seconds = -*seconds;
    return true;
}

/* True if the second that a 60 turned into is the first of a month in UTC: where leap seconds are put. */
static bool begins_a_month(int64_t unix_s)
{
    return unix_s % 86400 == 0 && date_of_days(unix_s / 86400).day == 1;
}

int rfc3339_parse(struct str s, int64_t *unix_ns)
{
    struct date date;
    unsigned hour, minute, second, ns;
    int64_t offset;

    if (!take_date(&s, &date) || !take_char(&s, 'T') || !take_time(&s, &hour, &minute, &second) ||
        !take_fraction(&s, &ns) || !take_offset(&s, &offset) || s.n != 0)
        return -1;
    int64_t unix_s = days_of_date(date) * 86400 + hour * 3600 + minute * 60 + second - offset;
    if (second == 60 && !begins_a_month(unix_s))
        return -1;
    if (__builtin_mul_overflow(unix_s, (int64_t)1000000000, unix_ns) ||
        __builtin_add_overflow(*unix_ns, (int64_t)ns, unix_ns))
        *unix_ns = unix_s < 0 ? INT64_MIN : INT64_MAX;
    return 0;
}
