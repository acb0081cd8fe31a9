#include "pgrecast/base/error.h"

#include <fmt/format.h>

namespace pgrecast {
namespace {

std::string describe(const std::vector<Refusal>& refusals) {
  std::string text;
  for (const Refusal& refusal : refusals) {
    text += fmt::format("{}{}\n  remedy: {}", text.empty() ? "" : "\n",
                        refusal.what, refusal.remedy);
  }
  return text;
}

}  // namespace

Refused::Refused(std::vector<Refusal> refusals)
    : Error(describe(refusals), Remedy::kFail),
      refusals_(std::move(refusals)) {}

}  // namespace pgrecast
