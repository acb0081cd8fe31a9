#pragma once

#include <string>
#include <vector>

namespace pgrecast::exchange {

// One kind of thing that hangs off a table, in all its forms.
struct Kind {
  // What the script does to the table beside which the thing stands.
  enum Script : unsigned {
    kNothing = 1,  // another fillfactor: the thing stays as it is
    kWidened = 2,  // v becomes a bigint
    kSwapped = 4,  // v and n change names; a column goes, another comes
    kChanging = 6,
    kAll = 7,
  };

  const char* name;
  // The rows of docs/reference/carried.md that it proves: how they begin,
  // parted by "|".
  const char* rows;
  // Makes it beside the table t of kTable, in schema s. @owner@, @keeper@,
  // @reader@ and @second@ are roles.
  std::string sql;
  // What is done afterwards, a statement each; on both sides it must succeed
  // or fail alike.
  std::vector<const char*> uses = {};
  // A scenario (kitchen_sink.h) tells of all things at once that stay as they
  // are.
  unsigned scripts = kChanging;
  int since = 14;  // the server's version
  // By hand, widening loses something of it: then it is made behind the
  // script. (Where the server refuses, that is so anyway.)
  bool made_after_widening = false;
};

// A column that is gone, so that the numbers of columns have a gap; one with a
// fast default.
inline constexpr const char* kTable = R"sql(
CREATE TABLE t (gone text, id int PRIMARY KEY, v int, n int, spare int, w text);
ALTER TABLE t DROP gone;
INSERT INTO t SELECT g, g, 100 - g, 0, 'w' || g FROM generate_series(1, 20) g;
ALTER TABLE t ADD fast int DEFAULT 3)sql";

const std::vector<Kind>& kinds();

}  // namespace pgrecast::exchange
