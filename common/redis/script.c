#include "common/redis/script.h"

struct ls_script_text ls_script_for(const struct ls_script *script, int server_version)
{
    if (server_version >= 70000 && script->text7)
        return (struct ls_script_text){script->text7, script->length7, script->sha1_7};
    return (struct ls_script_text){script->text, script->length, script->sha1};
}
