// Runs a fuzzer's entry without libFuzzer: every file of the corpus, then a bounded number of
// mutations of each that are the same in every run. Usage: FUZZER FOLDER [MUTATIONS]
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

uint64_t g_state = 1;
uint64_t next() {
  uint64_t z = (g_state += 0x9e3779b97f4a7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

std::string mutate(std::string text, const std::vector<std::string>& corpus) {
  static const char kInteresting[] = "\r\n\0 \t:;,/%{}[]\"'#0\x7f\xff";
  for (uint64_t i = 0, n = 1 + next() % 4; i < n; ++i) {
    size_t at = text.empty() ? 0 : next() % text.size();
    switch (next() % 6) {
      case 0:
        text.insert(at, 1, kInteresting[next() % (sizeof(kInteresting) - 1)]);
        break;
      case 1:
        if (!text.empty()) text.erase(at, 1 + next() % 8);
        break;
      case 2:
        if (!text.empty()) text[at] = static_cast<char>(next());
        break;
      case 3:
        if (!text.empty()) text[at] = kInteresting[next() % (sizeof(kInteresting) - 1)];
        break;
      case 4:
        text.insert(at, text.substr(at, next() % 64));
        break;
      default: {
        const std::string& other = corpus[next() % corpus.size()];
        size_t from = other.empty() ? 0 : next() % other.size();
        text = text.substr(0, at) + other.substr(from);
      }
    }
  }
  return text.substr(0, 64 * 1024);
}

void run(const std::string& text) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1]))
    names.push_back(entry.path().string());
  std::sort(names.begin(), names.end());
  std::vector<std::string> corpus;
  for (const std::string& name : names) {
    std::ifstream file(name, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    corpus.push_back(text.str());
  }
  if (corpus.empty()) {
    std::fprintf(stderr, "no corpus in %s\n", argv[1]);
    return 1;
  }
  size_t mutations = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 2000;
  for (const std::string& text : corpus) run(text);
  for (size_t i = 0; i < mutations; ++i) {
    for (const std::string& text : corpus) run(mutate(text, corpus));
  }
  std::printf("%zu seeds, %zu mutations each\n", corpus.size(), mutations);
}
