#pragma once

#include <cstddef>
#include <optional>
#include <string>

// Where in a text a place of another one comes from, which was made of it by
// putting other names in, leaving words out, or writing something around it.
namespace pgrecast::script {

// The offset in `text` of what stands at `offset` of `made`: that of the same
// token, or, where the token stands for something else, of what it stands for.
// The tokens are aligned by their longest common subsequence. nullopt where
// that leads nowhere: one of the two cannot be scanned, or they differ in too
// much.
std::optional<std::size_t> place_of(const std::string& text,
                                    const std::string& made,
                                    std::size_t offset);

}  // namespace pgrecast::script
