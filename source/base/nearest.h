#pragma once

#include <span>
#include <string>
#include <string_view>

namespace gatehouse::base {

// The candidate with the smallest edit distance to `word`, for "did you mean"; empty when none is
// close (more than a third of the word, at least two, letters differ). Upper and lower case count
// as equal.
std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

// " (did you mean 'x'?)", or "" when nothing is near.
std::string didYouMean(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace gatehouse::base
