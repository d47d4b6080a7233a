#include "source/base/nearest.h"

#include <algorithm>
#include <cctype>
#include <vector>

namespace gatehouse::base {

namespace {

size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      bool same = std::tolower(static_cast<unsigned char>(a[i - 1])) ==
                  std::tolower(static_cast<unsigned char>(b[j - 1]));
      size_t best = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (same ? 0 : 1)});
      diagonal = row[j];
      row[j] = best;
    }
  }
  return row[b.size()];
}

}  // namespace

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates) {
  if (word.size() > 200) return {};
  size_t limit = std::max<size_t>(2, word.size() / 3);
  std::string_view best;
  for (std::string_view candidate : candidates) {
    if (candidate.size() > word.size() + limit || word.size() > candidate.size() + limit) continue;
    size_t d = distance(word, candidate);
    if (d <= limit && (best.empty() || d < limit)) {
      best = candidate;
      limit = d;
    }
  }
  return best;
}

std::string didYouMean(std::string_view word, std::span<const std::string_view> candidates) {
  std::string_view found = nearest(word, candidates);
  if (found.empty()) return "";
  return " (did you mean '" + std::string(found) + "'?)";
}

}  // namespace gatehouse::base
