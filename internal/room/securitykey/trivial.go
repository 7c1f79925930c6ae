package securitykey

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// rows are the rows and columns of keyboards.
//
// constant: a list.
var rows = []string{"qwertyuiop", "qwertzuiop", "azertyuiop", "asdfghjkl", "qsdfghjklm", "zxcvbnm", "yxcvbnm", "1qaz2wsx3edc4rfv5tgb", "1q2w3e4r5t6z7u8i", "1q2w3e4r5t6y7u8i", "q1w2e3r4t5"}

// common are PINs and passwords that are tried first, but for those that other rules
// know.
//
// constant: a list.
var common = []string{
	"112233", "11223344", "102030", "123321", "1234321", "123454321", "12344321", "1122", "2580", "147258", "147258369", "159357", "159753", "258456", "741852", "852456", "963852", "789456", "789456123", "456123",
	"123qwe", "qwe123", "1234qwer", "qwer1234", "abc123", "abcd1234", "a1b2c3", "a1b2c3d4", "password", "password1", "passw0rd", "passwort", "passwort1", "letmein", "welcome", "welcome1", "iloveyou", "monkey",
	"dragon", "sunshine", "princess", "football", "baseball", "master", "shadow", "superman", "batman", "trustno1", "starwars", "admin", "admin1", "admin123", "administrator", "changeme", "secret", "keyhold", "hallo123", "qwerty1", "qwerty123",
}

// isTrivial says whether a PIN is among the first that anybody would try on a person.
func isTrivial(pin string, o Owner) bool {
	pin = strings.ToLower(pin)
	runes := []rune(pin)
	if len(runes) < 2 {
		return true
	}
	if isRepeated(runes) || isRun(runes, 1) || isRun(runes, -1) || slices.Contains(common, pin) {
		return true
	}
	backwards := slices.Clone(runes)
	slices.Reverse(backwards)
	for _, row := range rows {
		if strings.Contains(row, pin) || strings.Contains(row, string(backwards)) {
			return true
		}
	}
	local, _, _ := strings.Cut(o.To.Email, "@")
	for _, name := range []string{o.UserID, o.To.Email, local} {
		if utf8.RuneCountInString(name) >= leastPIN && strings.Contains(pin, strings.ToLower(name)) {
			return true
		}
	}
	return false
}

// isRepeated says whether the text is one block over and over: 7777, 121212, 123123.
func isRepeated(runes []rune) bool {
	for block := 1; block <= len(runes)/2; block++ {
		if len(runes)%block == 0 && slices.Equal(runes[block:], runes[:len(runes)-block]) {
			return true
		}
	}
	return false
}

// isRun says whether each character follows the one before by the step: 4567, dcba.
// After 9 comes 0.
func isRun(runes []rune, by rune) bool {
	for i := 1; i < len(runes); i++ {
		before, after := runes[i-1], runes[i]
		if after-before == by || isDigit(before) && isDigit(after) && (after-before-by)%10 == 0 {
			continue
		}
		return false
	}
	return true
}

func isDigit(r rune) bool { return r >= '0' && r <= '9' }
