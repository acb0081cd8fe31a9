#include "script_grants.h"

#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>

namespace pgrecast::plan {
namespace {

using catalog::Grant;

// Two entries of one key are one right, with or without the grant option.
auto key_of(const Grant& grant) {
  return std::tie(grant.column, grant.privilege, grant.grantee, grant.grantor);
}

const Grant* find(const std::vector<Grant>& grants, const Grant& like) {
  const auto found = std::ranges::find_if(grants, [&](const Grant& grant) {
    return key_of(grant) == key_of(like);
  });
  return found == grants.end() ? nullptr : &*found;
}

ScriptGrant change_to(const Grant& grant, bool granted) {
  return {.column = grant.column,
          .privilege = grant.privilege,
          .grantee = grant.grantee,
          .grantor = grant.grantor,
          .granted = granted,
          .grantable = grant.grantable};
}

std::vector<ScriptGrant> difference(const std::vector<Grant>& before,
                                    const std::vector<Grant>& after) {
  std::vector<ScriptGrant> changes;
  for (const Grant& grant : before) {
    if (find(after, grant) == nullptr) {
      changes.push_back(change_to(grant, false));
    }
  }
  for (const Grant& grant : after) {
    const Grant* old = find(before, grant);
    if (old == nullptr || old->grantable != grant.grantable) {
      changes.push_back(change_to(grant, true));
    }
  }
  return changes;
}

void set_grants(pg::Connection& connection, const std::string& table,
                std::vector<Grant> present, std::vector<Grant> wanted,
                const std::string& current_role) {
  for (const std::string& statement :
       catalog::grant_statements({.relation = table,
       .on = catalog::GrantOn::kTable,
       .present = std::move(present),
       .wanted = std::move(wanted),
       .current_role = current_role})) {
    connection.exec(statement);
  }
}

}  // namespace

// Whoever passes on a right on the clone has to reach it.
void ScriptGrants::let_grantors_in(pg::Connection& connection,
                                   const std::vector<Grant>& grants) {
  std::set<std::string> grantors;
  for (const Grant& grant : grants) {
    if (!grant.by_owner && grant.as_grantor) grantors.insert(grant.grantor);
  }
  for (const std::string& grantor : grantors) {
    const pg::Result there = connection.exec(
        "SELECT pg_catalog.has_schema_privilege($1, $2, 'USAGE')",
        {grantor, clone_.schema});
    if (there.boolean(0, 0)) continue;
    connection.exec(fmt::format("GRANT USAGE ON SCHEMA {} TO {}",
                                pg::quote_identifier(clone_.schema),
                                pg::quote_identifier(grantor)));
    let_in_.push_back(grantor);
  }
}

void ScriptGrants::begin(pg::Connection& connection,
                         const catalog::Table& source,
                         const catalog::QualifiedName& clone,
                         catalog::Oid clone_oid,
                         const std::map<std::string, std::string>& names) {
  clone_ = clone;
  clone_oid_ = clone_oid;
  current_role_ = connection.exec("SELECT current_user").text(0, 0);
  of_clone_ = catalog::read_grants(connection, clone_oid);
  std::vector<Grant> wanted;
  for (Grant& grant : catalog::read_grants(connection, source.oid)) {
    if (!grant.column.empty()) {
      const auto now = names.find(grant.column);
      if (now == names.end()) continue;
      grant.column = now->second;
    }
    wanted.push_back(std::move(grant));
  }
  let_grantors_in(connection, wanted);
  set_grants(connection, clone.quoted(), of_clone_, std::move(wanted),
             current_role_);
  const auto columns = catalog::read_columns(connection, clone_oid);
  for (Grant& grant : catalog::read_grants(connection, clone_oid)) {
    const auto column =
        std::ranges::find(columns, grant.column, &catalog::Column::name);
    at_first_.emplace_back(column == columns.end() ? 0 : column->attnum,
                           std::move(grant));
  }
}

std::vector<ScriptGrant> ScriptGrants::finish(pg::Connection& connection) {
  const auto columns = catalog::read_columns(connection, clone_oid_);
  std::vector<Grant> before;
  for (auto& [attnum, grant] : at_first_) {
    if (attnum != 0) {
      const auto column =
          std::ranges::find(columns, attnum, &catalog::Column::attnum);
      if (column == columns.end()) continue;
      grant.column = column->name;
    }
    before.push_back(std::move(grant));
  }
  std::vector<Grant> after = catalog::read_grants(connection, clone_oid_);
  std::vector<ScriptGrant> changes = difference(before, after);
  // A column that the script dropped may have had some of its own.
  std::erase_if(of_clone_,
                [](const Grant& grant) { return !grant.column.empty(); });
  set_grants(connection, clone_.quoted(), std::move(after),
             std::move(of_clone_), current_role_);
  for (const std::string& grantor : let_in_) {
    connection.exec(fmt::format("REVOKE USAGE ON SCHEMA {} FROM {}",
                                pg::quote_identifier(clone_.schema),
                                pg::quote_identifier(grantor)));
  }
  return changes;
}

std::string in_words(const ScriptGrant& change) {
  return fmt::format(
      "{}{} {} {}{}", change.privilege,
      change.column.empty() ? "" : fmt::format(" ({})", change.column),
      change.granted ? "granted to" : "revoked from",
      change.grantee.empty() ? "PUBLIC" : change.grantee,
      change.granted && change.grantable ? ", who may pass it on" : "");
}

}  // namespace pgrecast::plan
