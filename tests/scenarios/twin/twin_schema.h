#pragma once

#include "scenarios/twin/random.h"
#include "support/session.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace pgrecast::test {

// Of what the key of the table is made.
enum class KeyShape {
  kInteger,
  kIntegerAndText,
  kUuid,
  kNumeric,  // 1.5 and 1.50 are one key in two forms
  kTimestamptz,
  kDomain,
  kEnumAndInteger,
  kText,    // nondeterministic collation: 'Key-1' and 'KEY-1' are one key
  kCitext,  // the same, by the type's own operators
};
inline constexpr int kKeyShapeCount = 9;
const char* name_of(KeyShape shape);

enum class Identity { kPrimaryKey, kIndex, kFull };
const char* name_of(Identity identity);

// What a server can do that others of its version cannot: builds differ.
struct ServerOffers {
  bool xml = false;
  bool icu = false;
  bool citext = false;

  static ServerOffers ask(Session& session);
};

// What the seed would choose, where a test does not.
struct SchemaOptions {
  std::uint64_t seed = 1;
  std::optional<KeyShape> key_shape = {};
  std::optional<Identity> identity = {};
  std::optional<bool> hostile_names = {};
};

// Ids from here on are kept for the transactions that stay open for seconds, so
// that nobody else waits for them.
inline constexpr int kFirstPrivateId = 10'000'000;
inline constexpr int kPrivateIdCount = 64;

// A statement that can be run on the table and on its twin alike.
struct Statement {
  std::string before;
  std::string after;

  std::string on(const std::string& table) const {
    return before + table + after;
  }
};

// A table to be migrated, its twin, a migration script, and what the script
// must make of any contents of the table: all from a seed.
//
// There are three tables: table() is what the script reshapes; twin() has the
// same shape in a schema of its own and is never migrated; new_twin() has the
// shape that the script leads to, and is filled once, by expected_select(),
// by the first writer that finds table() in its new shape. From then on it is
// to new_twin() what writers do beside table(), since what is written after the
// migration is not converted by it.
//
// The SELECT comes from the same choices as the script, never from its text
// and never from pgrecast. Rows are known by a number, their id: id 17 is some
// key, in one of three forms where its type has forms of equal keys.
//
// Immutable once made: any thread may use it.
class TwinSchema {
 public:
  TwinSchema(const SchemaOptions& options, const ServerOffers& offers);

  // Makes all, and fills it with ids 0 .. rows - 1 and the private ones.
  // `superuser` makes extensions alone.
  void create(Session& superuser, Session& owner, int rows) const;

  std::string description() const;
  const std::string& script() const { return script_; }
  // Over twin().
  const std::string& expected_select() const { return expected_select_; }
  // The names of the indexes that the table must have afterwards, in order.
  const std::vector<std::string>& expected_indexes() const {
    return expected_indexes_;
  }

  // Quoted and qualified.
  const std::string& table() const { return table_; }
  const std::string& twin() const { return twin_; }
  const std::string& new_twin() const { return new_twin_; }

  // A query for whether table() has the new shape: t or f.
  std::string new_shape_query() const;
  // A query for the secondary unique value of a row of table(): no row or one.
  std::string u_query(int id) const;

  // What follows is valid for the old and for the new shape.
  Statement insert(Random& random, int id, std::optional<int> u) const;
  Statement remove(int id) const;
  Statement set_values(Random& random, int id) const;
  Statement set_nulls(Random& random, int id) const;
  Statement set_document(Random& random, int id) const;
  Statement set_u(int id, std::optional<int> u) const;
  Statement change_key(Random& random, int from, int to) const;
  // Changes nothing but the row's version.
  Statement touch(int id) const;
  // Every row but those with a private id.
  Statement add_to_group(int group) const;

 private:
  // What a column is for; names and types are the seed's choice.
  enum class Role {
    kKey,
    kU,         // the secondary unique value
    kV,         // a number that conversions use
    kGroup,     // id % 2, or -1 for private ids; never updated
    kDocument,  // text, some of it large and out of line
    kDropped,
    kRenamed,
    kMarker,  // added by the script, and tells the new shape from the old
    kAmount,
    kJsonb,
    kJson,
    kXml,
    kPoint,
    kBytes,
    kTime,
    kFlag,
    kArray,
  };
  struct Column {
    Role role = Role::kKey;
    std::string name;  // quoted
    std::string type;
    std::string collation;      // quoted; empty: the type's
    std::string default_value;  // empty: none
    bool not_null = false;
    std::string expression;  // over twin(): what the script makes of it
  };
  using Reference = std::function<std::string(Role)>;
  using Template = std::function<std::string(const Reference&)>;

  void choose_names(Random& random);
  void choose_columns(Random& random, const ServerOffers& offers);
  void add_key_columns(std::vector<Column>& columns) const;
  std::string name(Random& random, const std::string& base) const;

  void write_script(Random& random);
  void say(const std::string& statement);
  void alter(Random& random, const std::string& action);
  void change_type(Random& random, Column& column, const std::string& type,
                   const Template& value);
  void add_marker(Random& random);
  void widen_key(Random& random);
  void widen_v(Random& random);
  void convert_amount(Random& random);
  void convert_json(Random& random);
  void widen_array(Random& random);
  void drop_column(Random& random);
  void rename_column(Random& random);
  void update(Random& random, Role role);
  void delete_rows(Random& random);
  void create_index(Random& random);
  void drop_index(Random& random);
  Template condition(Random& random) const;
  Template new_value(Random& random, Role role) const;
  std::string in_script(const Template& text) const;
  std::string in_select(const Template& text) const;

  bool has(Role role) const;
  Column& column(Role role);
  const Column& column(Role role) const;
  // A column of the old shape that the new one has under the same name.
  const std::string& common_name(Role role) const;
  void create_types(Session& superuser, Session& owner) const;
  void fill(Session& owner, int first, int count) const;
  void index_source(Session& owner) const;

  // SQL expressions, of a key's column each. `id`: any integer expression.
  std::vector<std::string> key_values(const std::string& id, int form) const;
  std::string key_is(int id, int form) const;
  std::string key_list(const std::string& separator) const;
  std::string value(Random& random, Role role) const;
  std::string initial_value(Role role) const;
  Statement update_one(int id, const std::string& assignments) const;

  SchemaOptions options_;
  KeyShape shape_ = KeyShape::kInteger;
  Identity identity_ = Identity::kPrimaryKey;
  bool hostile_ = false;
  bool external_document_ = false;
  bool u_stays_unique_ = true;

  std::string schema_, relation_, table_, twin_, new_twin_;
  std::string script_table_;  // as the script writes it
  std::string key_index_, u_index_, v_index_;

  std::vector<Column> old_columns_;
  std::vector<Column> new_columns_;
  std::vector<std::string> filters_;  // of rows that stay behind
  std::vector<std::string> expected_indexes_;
  std::vector<std::string> statements_;
  std::string script_;
  std::string expected_select_;
};

}  // namespace pgrecast::test
