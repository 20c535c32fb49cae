/* Reads what metrics_render writes, for who wants to look at a few values of it. */
#ifndef CORE_METRICS_TEXT_H
#define CORE_METRICS_TEXT_H

#include "core/str.h"

struct metric_sample {
    struct str name, labels; /* labels: what stands between the braces; empty if there are none */
    double value;
};

/* Cuts the next sample off *text, past comments and whatever else is no sample. False at the end. */
bool metric_sample_next(struct str *text, struct metric_sample *out);

/* The value of a label, without escapes undone; STR_NONE if it is not there. */
struct str metric_sample_label(const struct metric_sample *s, struct str name);

/* All samples of a name added up, of those that have `value` in the label if that is not NULL; of the greatest instead
 * of the sum. NAN if there is none. */
double metrics_text_sum(struct str text, const char *name, const char *label, const char *value);
double metrics_text_max(struct str text, const char *name);
/* Of those with two labels. */
double metrics_text_cell(struct str text, const char *name, const char *label, const char *value, const char *label2,
                         const char *value2);

#endif
