"""ORB's pattern: which 256 pairs of places around a corner a code compares.

Of Rublee et al., "ORB: an efficient alternative to SIFT or SURF" (ICCV 2011), who learned it, as
OpenCV has it (`bit_pattern_31_`; Apache-2.0).
"""

from __future__ import annotations

import numpy as np

PATCH = 31.0
"""Pixels of the patch around a corner, at the scale at which it is taken."""

_WORDS = (
    "vkwsrpubcwfpubzapapzogotldljaacfakbexrywaffecuezuuztjiknapbkengszhzmktlzhajfyazfrusoskxk"
    "qgtzfghllymdazfxgqikjpkudbhysbtgshumonriwyyarurzpmrrjblufigdrywznfoaalfpkllqhwjevzxunwoq"
    "uiydahcnxuzohkhzxezjavfbanfjqquvsuxgmuobqdstpjqdanasagbzaqcvgzjutdzvemghlinzbsgsqdvaggjs"
    "klmgpwsccaiamtnmskspjajzehetbdfjxpzkuzzzgahsjwkrumzpgtioaybskulhufzgagcbokzzphqnjqlamaow"
    "uovhomqzwoztmemqaadsuuxzzizwtquysatxpbpqqvrhptzawbxqfrgwczjhozpfteujpqqltqynqkvfuvwqcihj"
    "dyixifkzdsenvmzhrhtcdzfurltulnlzifipuhxzeaffiailvfwaecenofolujwolomjyhzcbehrquuzssxvnjpv"
    "ezianupzmpousyueqstfajfwiwkkjgkbtsvngthzatilodqxrovjllpapbzzlanhrowqhdkikamouszcrlsgawei"
    "uovtufutgjgofygfatbfprqwxizqhihuvkwfpbpvcldqbagecndiskyvlamzmfnwacbidldykwlapkqpeajnjtkd"
    "jzlghcjwtktyayisyyztuizlmznujfklgohuabfaglhffsheimjsaufxossaonxawzxmsfxemyoaekhpmdozaofd"
    "vcxhpaqhuazeddigdffarhvsqzvajpkksaxbrasmewjqnqqebohoqprfdddwvazzfbhippquxtyftvvbgxhskekw"
    "mamskgkrflfqrpzzpiqyteyaqmuzymzrknktrcrzpjpodhfoaucoazcatnyanmoraqelevhkahflsevxpuqemhmm"
    "wsylykzfqnqsmrnxqhrsandssvzyvwwhujvbdrdwuqzrwgxlunzlmhnc"
)
PATTERN = np.frombuffer(_WORDS.encode(), np.uint8).astype(np.float32).reshape(512, 2) - ord("n")
"""(512, 2) pixels across and down, two rows a pair. In `_WORDS` n is 0, m -1, o 1."""

ACROSS, DOWN = (np.ascontiguousarray(column) for column in PATTERN.T)
