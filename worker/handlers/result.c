#include "worker/handlers/result.h"

/* Not within a character. */
static size_t whole(const char *text, size_t length, size_t cut)
{
    size_t back;

    for (back = 0; cut < length && cut > 0 && back < 3; back++, cut--)
        if (((unsigned char)text[cut] & 0xc0) != 0x80)
            break;
    return cut;
}

bool ls_result_text(struct ls_buf *out, const char *text, size_t length, size_t room)
{
    size_t start = out->length, cut = length < room - 2 ? length : whole(text, length, room - 2);

    for (;;) {
        size_t size;
        ls_buf_json_string(out, text, cut);
        size = out->length - start;
        if (size <= room)
            return cut == length;
        out->length = start; /* what is escaped is longer: less of it */
        cut = whole(text, length, cut * room / size);
    }
}
