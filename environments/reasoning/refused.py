"""What is wrong with other families of reasoning-gym 0.1.25, as far as it was looked into."""

REFUSED = {
    "ab": "a program may end in nothing, which is no answer that could be boxed",
    "caesar_cipher": "the rotation is not said, so the answer is whatever reads like English",
    "calendar_arithmetic": "business days up to a date in the next year are asked with this year's "
    "date, so the reference answer is another question's",
    "coin_flip": "the reference answer is rounded to 10 digits from 12 flips on (1/32768 is "
    "3.051757812e-05), and fewer flips have too few questions",
    "decimal_arithmetic": "quotients are rounded to 12 digits on the way, so no answer is exact",
    "gsm_symbolic": "its hundred story templates have no strict reader",
    "intermediate_integration": "an antiderivative has many forms and any constant",
    "isomorphic_strings": "its questions depend on Python's hash seed; half of its answers are True",
    "letter_jumble": "letters often form several words (`saw`, `was`)",
    "manipulate_matrix": "it does not say which way `rotate 90 degrees` turns",
    "number_format": "the reference answer is not the number as it is written in the question",
    "number_sequence": "several rules go on from the same numbers in different ways",
    "polynomial_equations": "roots are rounded to 4 decimals, against its own rule of rounding down",
    "polynomial_multiplication": "its questions depend on Python's hash seed",
    "pool_matrix": "it draws from numpy's global generator, which it seeds anew each time",
    "power_function": "the reference answer is a float, where 3 digits are asked for",
    "ransom_note": "its questions depend on Python's hash seed; half of its answers are True",
    "simple_geometry": "it asks for angles of convex polygons that are impossible (238, 675 degrees)",
    "simple_integration": "an antiderivative has many forms and any constant",
    "string_insertion": "19 of 20 short strings stay as they are, so repeating the string is paid",
    "time_intervals": "where the weekday stands in brackets its reference answer ignores the time",
}
