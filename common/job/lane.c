#include "common/job/lane.h"

#include "common/base/mem.h"

static const char *const names[LS_LANE_COUNT] = {
    [LS_LANE_NORMAL] = "normal", [LS_LANE_HIGH] = "high", [LS_LANE_LOW] = "low"};

const char *ls_lane_name(enum ls_lane lane)
{
    return (size_t)lane < LS_COUNT(names) ? names[lane] : "normal";
}

int ls_lane_parse(struct ls_span name, enum ls_lane *lane)
{
    for (size_t i = 0; i < LS_COUNT(names); i++) {
        if (ls_span_is(name, names[i])) {
            *lane = (enum ls_lane)i;
            return 0;
        }
    }
    return -1;
}

static bool ends_with(struct ls_span text, struct ls_span tail)
{
    return text.length >= tail.length &&
           memcmp(text.data + text.length - tail.length, tail.data, tail.length) == 0;
}

enum ls_lane ls_lane_of(struct ls_span envelope)
{
    if (ends_with(envelope, LS_SPAN(",\"priority\":\"high\"}")))
        return LS_LANE_HIGH;
    if (ends_with(envelope, LS_SPAN(",\"priority\":\"low\"}")))
        return LS_LANE_LOW;
    return LS_LANE_NORMAL;
}
