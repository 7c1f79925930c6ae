package panel

// The texts of the passkeys that people have at websites.
const (
	textCredentialsTable   = "Credentials of this user"
	textColumnWebsite      = "Website"
	textColumnAccount      = "Account"
	textColumnRegisteredBy = "Registered by"
	textColumnLastKey      = "With"
	textColumnComputer     = "Computer"
	textCredentialUses     = "Sign-ins"
	textCredentialKeyGone  = "a key that is gone"
	textCredentialActs     = "Activities"
	textCredentialDelete   = "Delete credential"
	textCredentialLocked   = "It cannot be brought back. Without another way to sign in there, the account may be lost to them."
	textCredentialSite     = "The website is not told: it goes on offering the sign-in until the holder removes it there."
	textCredentialNoName   = "no name"
	textAtClient           = "at "
)

func deleteCredentialText(label string) string { return "Delete " + label + "?" }

func credentialGoesText(holder, label string) string {
	return holder + " signs in as " + label + " with none of their security keys any more."
}
