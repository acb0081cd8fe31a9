#include "pgrecast/catalog/grants.h"

#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

namespace pgrecast::catalog {
namespace {

constexpr int kHasSetOption = 160000;  // GRANT role .. WITH SET FALSE

// {0}: what it takes to SET ROLE, {1}: the entries.
constexpr const char* kGrants = R"sql(
SELECT COALESCE(a.column_name, ''), a.privilege_type,
       CASE a.grantee WHEN 0 THEN ''
            ELSE pg_catalog.pg_get_userbyid(a.grantee) END,
       pg_catalog.pg_get_userbyid(a.grantor), a.is_grantable,
       a.grantor = a.relowner,
       COALESCE(pg_catalog.pg_has_role(a.grantor, {0})
         AND pg_catalog.has_schema_privilege(a.grantor, a.relnamespace, 'USAGE'),
         false)
FROM ({1}) AS a
ORDER BY a.column_name, a.grantee, a.grantor, a.privilege_type)sql";

constexpr const char* kOfRelation = R"sql(
  SELECT c.relowner, c.relnamespace, NULL::pg_catalog.name AS column_name, g.*
  FROM pg_catalog.pg_class c
  CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(c.relacl,
    pg_catalog.acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char"
                          ELSE 'r'::"char" END, c.relowner))) AS g
  WHERE c.oid = $1::pg_catalog.oid
  UNION ALL
  SELECT c.relowner, c.relnamespace, at.attname, g.*
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_attribute at ON at.attrelid = c.oid
  CROSS JOIN LATERAL pg_catalog.aclexplode(at.attacl) AS g
  WHERE c.oid = $1::pg_catalog.oid AND NOT at.attisdropped)sql";

constexpr const char* kOfRowType = R"sql(
  SELECT c.relowner, c.relnamespace, NULL::pg_catalog.name AS column_name, g.*
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_type t ON t.oid = c.reltype
  CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(t.typacl,
    pg_catalog.acldefault('T', t.typowner))) AS g
  WHERE c.oid = $1::pg_catalog.oid)sql";

std::string role(const std::string& name) {
  return name.empty() ? "PUBLIC" : pg::quote_identifier(name);
}

std::string privilege(const Grant& grant) {
  if (grant.column.empty()) return grant.privilege;
  return fmt::format("{} ({})", grant.privilege,
                     pg::quote_identifier(grant.column));
}

class Statements {
 public:
  explicit Statements(const GrantChange& change)
      : change_(change),
        on_(fmt::format("ON {} {}", kind(change.on), change.relation)) {}

  std::vector<std::string> all() && {
    revoke();
    grant();
    return std::move(statements_);
  }

 private:
  static const char* kind(GrantOn on) {
    switch (on) {
      case GrantOn::kTable:
        return "TABLE";
      case GrantOn::kSequence:
        return "SEQUENCE";
      case GrantOn::kType:
        return "TYPE";
    }
    return "";
  }

  void revoke() {
    std::set<std::string> grantees;
    for (const Grant& grant : change_.present) {
      // Of a table's columns too, says the manual of REVOKE.
      if (!grantees.insert(grant.grantee).second) continue;
      statements_.push_back(fmt::format("REVOKE ALL {} FROM {} CASCADE", on_,
                                        role(grant.grantee)));
    }
  }

  // The owner's grants first, then those of whoever may pass on by then. In the
  // owner's name: of a member of several roles that may grant, the server takes
  // any for the grantor.
  void grant() {
    std::vector<Grant> waiting;
    const bool as_owner =
        std::ranges::any_of(change_.wanted, [&](const Grant& grant) {
          return grant.by_owner && grant.as_grantor &&
                 grant.grantor != change_.current_role;
        });
    for (const Grant& grant : change_.wanted) {
      if (grant.by_owner) {
        add(grant, as_owner);
      } else {
        waiting.push_back(grant);
      }
    }
    while (!waiting.empty()) {
      const auto ready = std::ranges::find_if(
          waiting, [&](const Grant& grant) { return may_grant(grant); });
      const auto next = ready == waiting.end() ? waiting.begin() : ready;
      add(*next, ready != waiting.end());
      waiting.erase(next);
    }
  }

  bool may_grant(const Grant& grant) const {
    return grant.as_grantor &&
           (may_pass_on_.contains(PassOn{grant.grantor, "", grant.privilege}) ||
            may_pass_on_.contains(
                PassOn{grant.grantor, grant.column, grant.privilege}));
  }

  void add(const Grant& grant, bool as_grantor) {
    if (as_grantor) {
      statements_.push_back("SET LOCAL ROLE " + role(grant.grantor));
    }
    statements_.push_back(fmt::format(
        "GRANT {} {} TO {}{}", privilege(grant), on_, role(grant.grantee),
        grant.grantable ? " WITH GRANT OPTION" : ""));
    if (as_grantor) {
      statements_.push_back("SET LOCAL ROLE " + role(change_.current_role));
    }
    if (grant.grantable) {
      may_pass_on_.insert(PassOn{grant.grantee, grant.column, grant.privilege});
    }
  }

  // Grantee, column, privilege.
  using PassOn = std::array<std::string, 3>;

  const GrantChange& change_;
  std::string on_;
  std::set<PassOn> may_pass_on_;
  std::vector<std::string> statements_;
};

std::vector<Grant> read(pg::Connection& connection, const char* entries,
                        Oid relation) {
  const bool by_option = connection.server_version() >= kHasSetOption;
  const pg::Result result =
      connection.exec(fmt::format(fmt::runtime(kGrants),
                                  by_option ? "'SET'" : "'MEMBER'", entries),
                      {relation});
  std::vector<Grant> grants;
  for (int row = 0; row < result.rows(); ++row) {
    Grant grant;
    int column = 0;
    grant.column = result.text(row, column++);
    grant.privilege = result.text(row, column++);
    grant.grantee = result.text(row, column++);
    grant.grantor = result.text(row, column++);
    grant.grantable = result.boolean(row, column++);
    grant.by_owner = result.boolean(row, column++);
    grant.as_grantor = result.boolean(row, column++);
    grants.push_back(std::move(grant));
  }
  return grants;
}

}  // namespace

std::vector<Grant> read_grants(pg::Connection& connection, Oid relation) {
  return read(connection, kOfRelation, relation);
}

std::vector<Grant> read_row_type_grants(pg::Connection& connection, Oid table) {
  return read(connection, kOfRowType, table);
}

std::vector<std::string> grant_statements(const GrantChange& change) {
  if (change.present == change.wanted) return {};
  return Statements(change).all();
}

}  // namespace pgrecast::catalog
