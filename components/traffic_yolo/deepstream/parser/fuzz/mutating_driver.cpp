// A stand-in for libFuzzer where the compiler is not clang: random inputs and changed copies of those that came before,
// from a fixed seed. It knows nothing of coverage. Takes -max_total_time=SECONDS and -runs=NUMBER.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int count, char** arguments) {
    long seconds = 60;
    long runs = -1;
    for (int index = 1; index < count; ++index) {
        if (std::strncmp(arguments[index], "-max_total_time=", 16) == 0) {
            seconds = std::atol(arguments[index] + 16);
        } else if (std::strncmp(arguments[index], "-runs=", 6) == 0) {
            runs = std::atol(arguments[index] + 6);
        }
    }
    std::mt19937 random(1);
    std::vector<std::vector<std::uint8_t>> pool(64);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    long done = 0;
    while (done != runs && std::chrono::steady_clock::now() < end) {
        std::vector<std::uint8_t>& chosen = pool[random() % pool.size()];
        if (random() % 4 == 0) {
            chosen.assign(random() % 200, 0);
            for (std::uint8_t& each : chosen) {
                each = static_cast<std::uint8_t>(random());
            }
            if (!chosen.empty() && random() % 2 == 0) {
                chosen[0] |= 33;  // shapes and thresholds that fit: behind the first checks
            }
        }
        for (unsigned int change = random() % 4; change > 0 && !chosen.empty(); --change) {
            chosen[random() % chosen.size()] = static_cast<std::uint8_t>(random());
        }
        LLVMFuzzerTestOneInput(chosen.data(), chosen.size());
        ++done;
    }
    std::printf("%ld inputs, nothing found\n", done);
    return 0;
}
