/* tests/unit/cluster/wire/golden.h - bytes that real Serf agents (0.9.4, Debian) sent.
 *
 * Thread: one. Owns: golden_bytes gives malloced memory of the exact size, so that the address
 *         sanitizer sees one byte too far; free it.
 */
#pragma once

#include <stdlib.h>

#include "base/span.h"

#define GOLDEN_KEY "32d21e7d9d5b34ad21792712b26e64d2e0231d1ad9b36a17bc388deb22276bd2"

#define GOLDEN_PING                                                                            \
    "0085a44e6f6465a26e32a55365714e6f01aa536f7572636541646472a47f000003aa536f757263654e6f"     \
    "6465a26e33aa536f75726365506f7274cd1f0a"
#define GOLDEN_NACK "0b81a55365714e6fccfd"
/* as sent over a stream */
#define GOLDEN_ACK "0282a75061796c6f6164c0a55365714e6fcd0115"
#define GOLDEN_INDIRECT_PING                                                                   \
    "0188a44e61636bc3a44e6f6465a26331a4506f7274cd1f0aa55365714e6fccfdaa536f75726365416464"     \
    "72a47f000003aa536f757263654e6f6465a26e33aa536f75726365506f7274cd1f0aa6546172676574a4"     \
    "7f000009"
#define GOLDEN_SUSPECT "0383a446726f6da26e33ab496e6361726e6174696f6e02a44e6f6465a26331"
#define GOLDEN_DEAD "0583a446726f6da26331ab496e6361726e6174696f6e01a44e6f6465a26331"
#define GOLDEN_ALIVE                                                                           \
    "0486a441646472a47f000003ab496e6361726e6174696f6e01a44d657461b3ff82a4726f6c65a4656467"     \
    "65a26463a3657533a44e6f6465a26e33a4506f7274cd1f0aa356736ea6010502020505"
#define GOLDEN_ALIVE_N2                                                                        \
    "0486a441646472a47f000002ab496e6361726e6174696f6e01a44d657461b3ff82a4726f6c65a4656467"     \
    "65a26463a3657532a44e6f6465a26e32a4506f7274cd1f0aa356736ea6010502020505"
#define GOLDEN_CRC_COMPOUND "0c56bb93e50702004d004d" GOLDEN_ALIVE GOLDEN_ALIVE_N2
/* under GOLDEN_KEY */
#define GOLDEN_SEALED_PING                                                                     \
    "0107f9fc378577bb0ff4cdfc14b60ed7850809d4b42b9ac82aaae60c5ae4a2dfbf2121dbc3a235763905"     \
    "dd721ba7f28cce24758516ebaa11aa97aa00bbc2851473434c865023a8ce291cd3d2873c3e18e48c0208"     \
    "49efbf55b9d5"
/* a Serf join with CRC */
#define GOLDEN_SEALED_JOIN                                                                     \
    "012ac2b9405d1eb9457ed3df0c2b8c5101061993841fd10e30c9ac55a66f0ca76e571a17dcfcedd5a3a0"     \
    "43e83e1d88bf31d3d734"
/* CRC, LZW, compound: suspect and alive */
#define GOLDEN_CRC_COMPRESSED                                                                  \
    "0c8556fef50982a4416c676f00a3427566da009d000f0c00d084200009040c910a42868c1c527f000018"     \
    "b02a899b3161e4b8094327cd1b37014835294327ccac7f8248c979c3a60ca93264ce94114566cca83275"     \
    "669072f286cc4c373aa1bc9143a7d90705a3accc71632a400101020a1448b8b0e1c388000454bc987163"     \
    "c78f2147963c2988a64d9c3a57b67c19d3254f9fa2dcc4202594a851a44a993a852a15410041a5985049"     \
    "d3a64cc8b73f630404"
/* LZW, compound */
#define GOLDEN_COMPRESSED                                                                      \
    "0982a4416c676f00a3427566da00ca000f1000d0034013830024002844cac91b326544b999516a4a9938"     \
    "0e03a89af2a68e9c31658290212387d41f0000046cecf8b18c43881263acf40812ca1b39749a7d5040c0"     \
    "102991244da21cb02a899b3161e4b8094327cd1b37014835294327ccac7f8248c979c3a60ca93264ce44"     \
    "24336654993a331a3e8c3891944d9c3a158cb232c78da9000504082850a0e7cf91254fa62c7a34e9d2a6"     \
    "4fa34ead7a559028b266d16ae5ea15ac58b530ddc4707b33e7ceb975efe6dd5b00410041a5985049d3a6"     \
    "4cd4976c630404"
#define GOLDEN_CRC_COMPRESSED_EVENTS                                                           \
    "0c686981c30982a4416c676f00a3427566da0105000f1000300980138306111058442a0819327248fd01"     \
    "0040c0292369d8d02923678ea4520022897233a3560041a48ae08113b10c19172a4651097386949c376c"     \
    "ca9432c286e69c00a292107166c2010354a5985049d3a64c00524ec2342d85a60c1b366f4e410993076b"     \
    "1832a7e070f54a8614943772e834fba0609514ab5c8d841943072d005553ded49133a68c933764ca8c8c"     \
    "716a6953bd749cedd0a40c00820184440d19222ca9e13203a04ad50967ef99325ac7bef9aa0d808a1778"     \
    "c6a85ecdbab5ebd7b0593f8e3cb9b252a66504689eda59cee7d05d4793297d1a8f98e3c8932b5fcebc79"     \
    "f2d992295bc6fd342a6fcfa0b706276d1a7598efe0c38b1f4fbe7cf880"
#define GOLDEN_PUSH_PULL_HEAD "0683a44a6f696ec2a54e6f64657304ac5573657253746174654c656ecd02ce"
#define GOLDEN_PUSH_PULL_NODE                                                                  \
    "87a441646472a47f000003ab496e6361726e6174696f6e01a44d657461b3ff82a4726f6c65a465646765"     \
    "a26463a3657533a44e616d65a26e33a4506f7274cd1f0aa5537461746500a356736ea6010502020505"
/* compressed, of one node that joins */
#define GOLDEN_STREAM_PUSH_PULL                                                                \
    "0982a4416c676f00a3427566da00db000d0c22a5e44d1a37c34a397943a6cc9c00acaacc2923670a9d30"     \
    "74ca3029e3a69900258748052143460ea93f0000085895c4cd983072dc604cf3c64d00524dca5c9cf54f"     \
    "902832634695a93383949c376cca902a43e68c522761da9411e5260629286fe4d069f64141298b18cb00"     \
    "1865658e1b53010a08105040ad215545ec70a4c3844a1aa9014cc59d3b879b0000c0020b1e4cb8b0e1c3"     \
    "88132b5eccb8b1e3c790234b9e4cb9b2e5cb98336bdeccb9b3e7c7a5eade2d1360d546337472b6114371"     \
    "0e245551ea50cc231a2f2bb074eacca9ed3010d518000202"
/* compressed */
#define GOLDEN_STREAM_PING                                                                     \
    "0982a4416c676f00a3427566da003b00011422e5e40d9932a2dccc2835a54c9c8201544d795347ce9832"     \
    "41c8909143ea0f0000022452b458a6e0c184314456bc08e58d1c3acd3e280808"
/* the push/pull under GOLDEN_KEY */
#define GOLDEN_STREAM_SEALED                                                                   \
    "0a0000010701d9c95fc62a5cf16189bb431d7a3fee1b026a9f13b77e8d7e5a125b343bb3d190fb0e200a"     \
    "30398551ed2324fe1ffe6e2df18181ad4a2a80ef4b72f914763223b255977e304a6572ce0557ecfaa6bf"     \
    "ef2e34f6d53be24c29d4dbab96fd9c60906d8a354bfbcdc5aedc07886d32ea08aa71318b59bef4c325fb"     \
    "0c1eccd15411533f1b16329c8877ef9d2cdbf3787916ba20a70fea91e6d05145bd17d6b0d7ccaa59eaab"     \
    "11cb562f4c9c148cd8a49bf2b53d4837b0735c7e14f5cdbc9499e96062e8db1bb6e676d2cf715a74f937"     \
    "9ad646182aaa579cbb0a715238770dd45d9421c5f4f7f906bffc96d9946e6df87e71609310e49875cacc"     \
    "66c124d144dc533e16e75c87ba6025be"
/* Serf's, as user messages */
#define GOLDEN_EVENT "080384a24343c3a54c54696d6501a44e616d65a57075726765a75061796c6f6164a22f78"
#define GOLDEN_QUERY                                                                           \
    "08048ba441646472a47f000004a746696c74657273c0a5466c61677301a24944ce1a8cd123a54c54696d"     \
    "6501a44e616d65a377686fa75061796c6f6164a568656c6c6fa4506f7274cd1f0aab52656c6179466163"     \
    "746f7201aa536f757263654e6f6465a26e34a754696d656f7574ce77359400"
#define GOLDEN_RESPONSE                                                                        \
    "080585a5466c61677301a446726f6da26e34a24944ce1a8cd123a54c54696d6501a75061796c6f6164c0"
/* with the response inside */
#define GOLDEN_RELAY                                                                           \
    "080982a8446573744164647283a24950a47f000004a4506f7274cd1f0aa45a6f6e65a0a8446573744e61"     \
    "6d65a26e340585a5466c61677301a446726f6da26e34a24944ce1a8cd123a54c54696d6501a75061796c"     \
    "6f6164c0"
#define GOLDEN_LEAVE "080083a54c54696d6504a44e6f6465a26331a55072756e65c2"

static inline unsigned golden_digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static inline struct span golden_bytes(const char *hex)
{
    size_t len = strlen(hex) / 2;
    char *bytes = malloc(len ? len : 1);
    must(bytes);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(golden_digit(hex[2 * i]) << 4 | golden_digit(hex[2 * i + 1]));
    return span_of(bytes, len);
}

static inline void golden_free(struct span s)
{
    free((void *)(uintptr_t)s.ptr);
}

/* Of the same length and content as the hex digits. */
static inline bool golden_equal(struct span s, const char *hex)
{
    struct span wanted = golden_bytes(hex);
    bool equal = span_equal(s, wanted);
    golden_free(wanted);
    return equal;
}
