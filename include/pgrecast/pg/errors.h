#pragma once

#include "pgrecast/base/error.h"

#include <cstddef>
#include <string>
#include <string_view>

namespace pgrecast::pg {

// Named as in Appendix A of PostgreSQL's manual. Code decides on these, never
// on message text, which may be in any language.
namespace sqlstate {
inline constexpr std::string_view kFeatureNotSupported = "0A000";
inline constexpr std::string_view kUniqueViolation = "23505";
inline constexpr std::string_view kExclusionViolation = "23P01";
inline constexpr std::string_view kSerializationFailure = "40001";
inline constexpr std::string_view kDeadlockDetected = "40P01";
inline constexpr std::string_view kInvalidForeignKey = "42830";
inline constexpr std::string_view kInsufficientPrivilege = "42501";
inline constexpr std::string_view kGroupingError = "42803";
inline constexpr std::string_view kUndefinedTable = "42P01";
inline constexpr std::string_view kUndefinedObject = "42704";
inline constexpr std::string_view kDuplicateSchema = "42P06";
inline constexpr std::string_view kDuplicateObject = "42710";
inline constexpr std::string_view kDuplicateTable = "42P07";
inline constexpr std::string_view kInvalidSchemaName = "3F000";
inline constexpr std::string_view kDependentObjectsStillExist = "2BP01";
inline constexpr std::string_view kObjectInUse = "55006";
inline constexpr std::string_view kObjectNotInPrerequisiteState = "55000";
inline constexpr std::string_view kLockNotAvailable = "55P03";
inline constexpr std::string_view kQueryCanceled = "57014";
inline constexpr std::string_view kInvalidCatalogName = "3D000";
// "tuple concurrently updated", too: somebody altered the same object first.
inline constexpr std::string_view kInternalError = "XX000";
}  // namespace sqlstate

// The server refused a statement. what() is the server's message and SQLSTATE;
// the detail may hold row values, so it is kept apart and never logged.
class SqlError : public Error {
 public:
  struct Fields {
    std::string sqlstate;
    std::string message;
    std::string detail;
    std::string hint;
    std::string constraint;
    std::string statement;  // its beginning
    // Where in the statement the server found fault, in characters from 1; 0
    // where it does not say.
    std::size_t position = 0;
  };

  explicit SqlError(Fields fields);

  const Fields& fields() const { return fields_; }
  const std::string& sqlstate() const { return fields_.sqlstate; }

  // Class 22 (data exception) or 23 (integrity constraint violation): the rows
  // are to blame, not the server or the statement.
  bool blames_data() const;

 private:
  Fields fields_;
};

// There is no session, or no longer: could not connect, or it broke.
class ConnectionError : public Error {
 public:
  explicit ConnectionError(const std::string& message)
      : Error(message, Remedy::kReconnect) {}
};

// The session broke between COMMIT and its answer: it happened, or it did not.
class CommitInDoubt : public Error {
 public:
  explicit CommitInDoubt(const std::string& message)
      : Error(message, Remedy::kAskOperator) {}
};

}  // namespace pgrecast::pg
