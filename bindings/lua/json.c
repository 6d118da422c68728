/* Between JSON and tables. null is left out; an empty table is an object. */
#include "conexlua.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 64 };

static void push(lua_State *L, const json_t *j)
{
	const char *key;
	json_t *value;
	size_t i;

	luaL_checkstack(L, 8, "JSON is too deep");
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		lua_newtable(L);
		json_object_foreach((json_t *)j, key, value) {
			push(L, value);
			lua_setfield(L, -2, key);
		}
		break;
	case JSON_ARRAY:
		lua_createtable(L, (int)json_array_size(j), 0);
		json_array_foreach(j, i, value) {
			push(L, value);
			lua_rawseti(L, -2, (int)i + 1);
		}
		break;
	case JSON_STRING:
		lua_pushlstring(L, json_string_value(j), json_string_length(j));
		break;
	case JSON_INTEGER:
		lua_pushinteger(L, (lua_Integer)json_integer_value(j));
		break;
	case JSON_REAL:
		lua_pushnumber(L, json_real_value(j));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		lua_pushboolean(L, json_is_true(j));
		break;
	default:
		lua_pushnil(L);
	}
}

int cl_json(lua_State *L, char *text)
{
	json_t *j = json_loads(text, JSON_DECODE_ANY, NULL);

	free(text);
	if (!j)
		return luaL_error(L, "the library's JSON can't be read");
	push(L, j);
	json_decref(j);
	return 1;
}

/* NULL: it can't be JSON. */
static json_t *made(lua_State *L, int i, int depth)
{
	json_t *j;
	size_t size;
	const char *text;

	if (depth > DEPTH || !lua_checkstack(L, 4))
		return NULL;
	switch (lua_type(L, i)) {
	case LUA_TSTRING:
		text = lua_tolstring(L, i, &size);
		return json_stringn(text, size);
	case LUA_TBOOLEAN:
		return json_boolean(lua_toboolean(L, i));
	case LUA_TNUMBER:
		return lua_tonumber(L, i) == (lua_Number)lua_tointeger(L, i) ? json_integer((json_int_t)lua_tointeger(L, i))
			: json_real(lua_tonumber(L, i));
	case LUA_TLIGHTUSERDATA:
		return lua_touserdata(L, i) ? NULL : json_null();       /* conex.null */
	case LUA_TTABLE:
		break;
	default:
		return NULL;
	}
	j = cl_len(L, i) ? json_array() : json_object();
	for (size_t n = 1; json_is_array(j) && n <= cl_len(L, i); n++) {
		lua_rawgeti(L, i, (int)n);
		if (json_array_append_new(j, made(L, lua_gettop(L), depth + 1)) < 0)
			goto wrong;
		lua_pop(L, 1);
	}
	if (json_is_object(j))
		for (lua_pushnil(L); lua_next(L, i); lua_pop(L, 1))
			if (lua_type(L, -2) != LUA_TSTRING
			    || json_object_set_new(j, lua_tostring(L, -2), made(L, lua_gettop(L), depth + 1)) < 0)
				goto wrong;
	return j;
wrong:
	json_decref(j);
	return NULL;
}

char *cl_dump(lua_State *L, int i)
{
	char *text = NULL;
	json_t *j;

	if (lua_type(L, i) == LUA_TSTRING) {
		text = strdup(lua_tostring(L, i));
	} else {
		int top = lua_gettop(L);

		j = made(L, i, 0);
		lua_settop(L, top);
		text = j ? json_dumps(j, JSON_COMPACT) : NULL;
		json_decref(j);
	}
	if (!text)
		luaL_error(L, "a value that can't be JSON: texts, numbers, booleans, conex.null, and tables of them");
	return text;
}
