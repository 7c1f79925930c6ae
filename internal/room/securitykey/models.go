package securitykey

import (
	"cmp"
	"slices"
)

// Model is a make of authenticators, by the AAGUID that they tell.
type Model struct {
	AAGUID string
	Name   string
}

// models are well-known authenticators and keepers of passkeys, as they stand in the
// FIDO metadata service or in the list of passkeydeveloper/passkey-authenticator-aaguids.
//
// constant: a table.
var models = map[string]string{
	"cb69481e-8ff7-4039-93ec-0a2729a154a8": "YubiKey 5 Series",
	"ee882879-721c-4913-9775-3dfcce97072a": "YubiKey 5 Series",
	"19083c3d-8383-4b18-bc03-8f1c9ab2fd1b": "YubiKey 5 Series",
	"ff4dac45-ede8-4ec2-aced-cf66103f4335": "YubiKey 5 Series",
	"fa2b99dc-9e39-4257-8f92-4a30d23c4118": "YubiKey 5 Series with NFC",
	"2fc0579f-8113-47ea-b116-bb5a8db9202a": "YubiKey 5 Series with NFC",
	"d7781e5d-e353-46aa-afe2-3ca49f13332a": "YubiKey 5 Series with NFC",
	"a25342c0-3cdc-4414-8e46-f4807fca511c": "YubiKey 5 Series with NFC",
	"662ef48a-95e2-4aaa-a6c1-5b9c40375824": "YubiKey 5 Series with NFC, Enhanced PIN",
	"c5ef55ff-ad9a-4b9f-b580-adebafe026d0": "YubiKey 5 Series with Lightning",
	"a02167b9-ae71-4ac7-9a07-06432ebb6f1c": "YubiKey 5 Series with Lightning",
	"24673149-6c86-42e7-98d9-433fb5b73296": "YubiKey 5 Series with Lightning",
	"73bb0cd4-e502-49b8-9c6f-b59445bf720b": "YubiKey 5 FIPS Series",
	"57f7de54-c807-4eab-b1c6-1c9be7984e92": "YubiKey 5 FIPS Series",
	"c1f9a0bc-1dd2-404a-b27f-8e29047a43fd": "YubiKey 5 FIPS Series with NFC",
	"fcc0118f-cd45-435b-8da1-9782b2da0715": "YubiKey 5 FIPS Series with NFC",
	"85203421-48f9-4355-9bc8-8a53846e5083": "YubiKey 5 FIPS Series with Lightning",
	"7b96457d-e3cd-432b-9ceb-c9fdd7ef7432": "YubiKey 5 FIPS Series with Lightning",
	"d8522d9f-575b-4866-88a9-ba99fa02f35b": "YubiKey Bio, FIDO Edition",
	"dd86a2da-86a0-4cbe-b462-4bd31f57bc6f": "YubiKey Bio, FIDO Edition",
	"7409272d-1ff9-4e10-9fc9-ac0019c124fd": "YubiKey Bio, FIDO Edition",
	"90636e1f-ef82-43bf-bdcf-5255f139d12f": "YubiKey Bio, Multi-protocol Edition",
	"34744913-4f57-4e6e-a527-e9ec3c4b94e6": "YubiKey Bio, Multi-protocol Edition",
	"7d1351a6-e097-4852-b8bf-c9ac5c9ce4a3": "YubiKey Bio, Multi-protocol Edition",
	"f8a011f3-8c0a-4d15-8006-17111f9edc7d": "Security Key by Yubico",
	"b92c3f9a-c014-4056-887f-140a2501163b": "Security Key by Yubico",
	"149a2021-8ef6-4133-96b8-81f8d5b7f1f5": "Security Key NFC by Yubico",
	"6d44ba9b-f6ec-2e49-b930-0c8fe920cb73": "Security Key NFC by Yubico",
	"b7d3f68e-88a6-471e-9ecf-2df26d041ede": "Security Key NFC by Yubico",
	"a4e9fc6d-4cbe-4758-b8ba-37598bb5bbaa": "Security Key NFC by Yubico",
	"e77e3c64-05e3-428b-8824-0cbeb04b829d": "Security Key NFC by Yubico",
	"47ab2fb4-66ac-4184-9ae1-86be814012d5": "Security Key NFC by Yubico, Enterprise Edition",
	"ed042a3a-4b22-4455-bb69-a267b652ae7e": "Security Key NFC by Yubico, Enterprise Edition",
	"0bb43545-fd2c-4185-87dd-feb0b2916ace": "Security Key NFC by Yubico, Enterprise Edition",
	"42b4fb4a-2866-43b2-9bf7-6c6669c2e5d3": "Google Titan Security Key v2",
	"12ded745-4bed-47d4-abaa-e713f51d6393": "Feitian AllinOne",
	"77010bd7-212a-4fc9-b236-d2ca5e9d4084": "Feitian BioPass",
	"b6ede29c-3772-412c-8a78-539c1f4c62d2": "Feitian BioPass Plus",
	"42df17de-06ba-4177-a2bb-6701be1380d6": "Feitian BioPass Plus",
	"4c0cf95d-2f40-43b5-ba42-4c83a11c04ba": "Feitian BioPass Pro",
	"833b721a-ff5f-4d00-bb2e-bdda3ec01e29": "Feitian ePass",
	"12755c32-8ad1-46eb-881c-e0b38d848b09": "Feitian ePass",
	"ee041bce-25e5-4cdb-8f86-897fd6418464": "Feitian ePass NFC",
	"260e3021-482d-442d-838c-7edfbe153b7e": "Feitian ePass NFC",
	"234cd403-35a2-4cc2-8015-77ea280c77f5": "Feitian ePass NFC",
	"78ba3993-d784-4f44-8d6e-cc0a8ad5230e": "Feitian ePass NFC",
	"3e22415d-7fdf-4ea4-8a0c-dd60c4249b9d": "Feitian iePass",
	"2c0df832-92de-4be1-8412-88a8f074df4a": "Feitian FIDO Smart Card",
	"ab32f0c6-2239-afbb-c470-d2ef4e254db7": "Token2 FIDO2 Security Key",
	"eabb46cc-e241-80bf-ae9e-96fa6d2975cf": "Token2 PIN+",
	"2cd2f727-f6ca-44da-8f48-5c2e5da000a2": "Nitrokey 3",
	"8876631b-d4a0-427f-5773-0ec71c9e0279": "SoloKeys Solo",
	"8976631b-d4a0-427f-5773-0ec71c9e0279": "SoloKeys Solo Tap",
	"9876631b-d4a0-427f-5773-0ec71c9e0279": "SoloKeys Somu",
	"998f358b-2dd2-4cbe-a43a-e8107438dfb3": "OnlyKey",
	"aeb6569c-f8fb-4950-ac60-24ca2bbe2e52": "HID Crescendo C2300",
	"c80dbd9a-533f-4a17-b941-1a2f1c7cedff": "HID Crescendo C3000",
	"54d9fee8-e621-4291-8b18-7157b99c5bec": "HID Crescendo Enabled",
	"692db549-7ae5-44d5-a1e5-dd20a493b723": "HID Crescendo Key",
	"2d3bec26-15ee-4f5d-88b2-53622490270b": "HID Crescendo Key V2",
	"aa79f476-ea00-417e-9628-1e8365123922": "HID Crescendo 4000",
	"ca4cff1b-5a81-4404-8194-59aabcf1660b": "Thales IDPrime 3930 FIDO",
	"b50d5e0a-7f81-4959-9b12-f45407407503": "Thales IDPrime 3940 FIDO",
	"4d41190c-7beb-4a84-8018-adf265a6352d": "Thales IDPrime FIDO Bio",
	"efb96b10-a9ee-4b6c-a4a9-d32125ccd4a4": "Thales SafeNet eToken FIDO",
	"931327dd-c89b-406c-a81e-ed7058ef36c6": "Swissbit iShield Key",
	"9f0d8150-baa5-4c00-9299-ad62c8bb4e87": "GoTrust Idem Card",
	"3b1adb99-0dfe-46fd-90b8-7f7614a4de2a": "GoTrust Idem Key",
	"d94a29d9-52dd-4247-9c2d-8b818b610389": "Kensington VeriMark Guard",
	"c5703116-972b-4851-a3e7-ae1259843399": "Neowave Badgeo",
	"3789da91-f943-46bc-95c3-50ea2012f03a": "Neowave Winkeo",
	"30b5035e-d297-4ff1-b00b-addc96ba6a98": "OneSpan DIGIPASS FX1 BIO",
	"7e3f3d30-3557-4442-bdae-139312178b39": "RSA DS100",
	"91ad6b93-264b-4987-8737-3a690cad6917": "Token Ring",
	"73402251-f2a8-4f03-873e-3cb6db604b03": "uTrust FIDO2 Security Key",
	"39a5647e-1853-446c-a1f6-a79bae9f5bc7": "IDmelon Android",
	"820d89ed-d65a-409e-85cb-f73f0578f82a": "IDmelon iOS",
	"08987058-cadc-4b81-b6e1-30de50dcbe96": "Windows Hello",
	"9ddd1817-af5a-4672-a2b9-3e3dd95000a9": "Windows Hello",
	"6028b017-b1d4-4c02-b4b3-afcdafc96bb2": "Windows Hello",
	"fbfc3007-154e-4ecc-8c0b-6e020557d7bd": "iCloud Keychain",
	"dd4ec289-e01d-41c9-bb89-70fa845d4bf2": "iCloud Keychain (managed)",
	"ea9b8d66-4d01-1d21-3ce4-b6b48cb575d4": "Google Password Manager",
	"adce0002-35bc-c60a-648b-0b25f1f05503": "Chrome on Mac",
	"bada5566-a7aa-401f-bd96-45619a55120d": "1Password",
	"d548826e-79b4-db40-a3d8-11116f7e8349": "Bitwarden",
	"531126d6-e717-415c-9320-3d9aa6981239": "Dashlane",
	"50726f74-6f6e-5061-7373-50726f746f6e": "Proton Pass",
	"53414d53-554e-4700-0000-000000000000": "Samsung Pass",
	"f3809540-7f14-49c1-a8b3-8f813b225541": "Enpass",
	"fdb141b2-5d84-443e-8a35-4698c205a502": "KeePassXC",
}

// Models returns the local list of models, by their names.
func Models() []Model {
	out := make([]Model, 0, len(models))
	for aaguid, name := range models {
		out = append(out, Model{aaguid, name})
	}
	slices.SortFunc(out, func(a, b Model) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.AAGUID, b.AAGUID)) })
	return out
}

// ModelName returns the name of a model from the local list, "" if it is unknown.
func ModelName(aaguid string) string { return models[cleanAAGUID(aaguid)] }
