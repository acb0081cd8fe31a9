#include "pgrecast/migration/phase.h"

#include "pgrecast/base/error.h"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace pgrecast::migration {
namespace {

constexpr std::array<std::pair<Phase, std::string_view>, 9> kNames = {{
    {Phase::kPreparing, "preparing"},
    {Phase::kCopying, "copying"},
    {Phase::kSettling, "settling"},
    {Phase::kIndexing, "indexing"},
    {Phase::kCatchingUp, "catching_up"},
    {Phase::kVerifying, "verifying"},
    {Phase::kReady, "ready"},
    {Phase::kExchanged, "exchanged"},
    {Phase::kDone, "done"},
}};

}  // namespace

std::string_view name_of(Phase phase) {
  for (const auto& [known, name] : kNames) {
    if (known == phase) return name;
  }
  return "unknown";
}

Phase phase_named(std::string_view name) {
  for (const auto& [phase, known] : kNames) {
    if (known == name) return phase;
  }
  throw ProtocolError(fmt::format(
      "the migration is in phase '{}', which this version does not know; use "
      "the version that began it",
      name));
}

}  // namespace pgrecast::migration
