package s3

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// Attributes of the items in the table of Terraform's s3 backend
// (internal/backend/remote-state/s3, dynamodb_table), and the suffix of the LockID of the
// item that holds the digest.
const (
	attributeLockID = "LockID"
	attributeInfo   = "Info"
	attributeDigest = "Digest"
	digestSuffix    = "-md5"
)

// lockTable is the DynamoDB table from ?lock-table=. It is in the bucket's region, or at
// AWS_ENDPOINT_URL_DYNAMODB if that is set.
type lockTable struct {
	name   string
	bucket *bucket
	client *dynamodb.Client
}

// Digest returns the table's digest item, or "" without ?lock-table=.
func (o *object) Digest(ctx context.Context) (string, error) {
	if o.bucket.table == nil {
		return "", ctx.Err()
	}
	item, err := o.bucket.table.item(ctx, o.lockID()+digestSuffix)
	if err != nil || item == nil {
		return "", err
	}
	digest := strings.ToLower(text(item[attributeDigest]))
	if sum, err := hex.DecodeString(digest); err != nil || len(sum) != 16 {
		return "", fmt.Errorf("the digest item %q in the table %q does not contain an MD5", o.lockID()+digestSuffix, o.bucket.table.name)
	}
	return digest, nil
}

// setDigest stores the MD5 of what was written, as Terraform does after every write.
func (o *object) setDigest(ctx context.Context, md5 string) error {
	t, id := o.bucket.table, o.lockID()+digestSuffix
	item := lockIDKey(id)
	item[attributeDigest] = &types.AttributeValueMemberS{Value: md5}
	r := request{doing: "write the digest", object: t.url(id), action: "dynamodb:PutItem"}
	_, err := askTable(ctx, t, r, func(here func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
		return t.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &t.name, Item: item}, here, t.bucket.wire.onceInTable)
	})
	return err
}

// removeDigest removes the digest, as Terraform does with a state.
func (o *object) removeDigest(ctx context.Context) error {
	t, id := o.bucket.table, o.lockID()+digestSuffix
	r := request{doing: "delete the digest", object: t.url(id), action: "dynamodb:DeleteItem"}
	_, err := askTable(ctx, t, r, func(here func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error) {
		return t.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &t.name, Key: lockIDKey(id)}, here, t.bucket.wire.onceInTable)
	})
	return err
}

// lockID returns the LockID of the item that locks the state.
func (o *object) lockID() string { return o.bucket.name + "/" + o.key }

// url names an item in messages.
func (t *lockTable) url(id string) string { return "dynamodb://" + t.name + "/" + id }

// item returns an item, or nil if it does not exist. The read is consistent, so it sees a
// lock that was just taken.
func (t *lockTable) item(ctx context.Context, id string) (map[string]types.AttributeValue, error) {
	r := request{doing: "read", object: t.url(id), action: "dynamodb:GetItem"}
	out, err := askTable(ctx, t, r, func(here func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
		return t.client.GetItem(ctx, &dynamodb.GetItemInput{
			TableName: &t.name, Key: lockIDKey(id), ConsistentRead: aws.Bool(true),
		}, here)
	})
	if err != nil || len(out.Item) == 0 {
		return nil, err
	}
	return out.Item, nil
}

// askTable calls DynamoDB in the bucket's region.
func askTable[T any](ctx context.Context, t *lockTable, r request, do func(func(*dynamodb.Options)) (T, error)) (T, error) {
	var none T
	if err := t.bucket.authenticate(ctx, r); err != nil {
		return none, err
	}
	region, _ := t.bucket.inRegion()
	out, err := do(func(o *dynamodb.Options) { o.Region = region })
	if err != nil {
		return none, t.bucket.explain(ctx, r, err)
	}
	return out, nil
}

func lockIDKey(id string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{attributeLockID: &types.AttributeValueMemberS{Value: id}}
}

// text returns the value of a string attribute, and "" for any other type.
func text(v types.AttributeValue) string {
	if s, ok := v.(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

// lockItem is the item in the table that locks a state.
type lockItem struct {
	table *lockTable
	state *object
}

// read returns nil if there is no lock.
func (l *lockItem) read(ctx context.Context) (*heldLock, error) {
	item, err := l.table.item(ctx, l.state.lockID())
	if err != nil {
		return nil, fmt.Errorf("cannot tell whether the state is locked: %w", err)
	}
	if item == nil {
		return nil, nil
	}
	held := &heldLock{lock: backend.Lock{Path: l.table.url(l.state.lockID())}, tag: text(item[attributeInfo])}
	held.text = []byte(held.tag)
	held.lock.Describe([]byte(held.tag))
	return held, nil
}

// write creates the item if it does not exist, as Terraform does.
func (l *lockItem) write(ctx context.Context, description []byte) (maybe bool, err error) {
	item := lockIDKey(l.state.lockID())
	item[attributeInfo] = &types.AttributeValueMemberS{Value: string(description)}
	_, err = askTable(ctx, l.table, l.request("write the lock", "dynamodb:PutItem"), func(here func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
		return l.table.client.PutItem(ctx, &dynamodb.PutItemInput{
			TableName: &l.table.name, Item: item,
			ConditionExpression: aws.String("attribute_not_exists(" + attributeLockID + ")"),
		}, here, l.table.bucket.wire.onceInTable)
	})
	return mayHaveHappened(err), conditionFailed(err)
}

// remove deletes the item if its description is still tag.
func (l *lockItem) remove(ctx context.Context, tag string) error {
	_, err := askTable(ctx, l.table, l.request("delete the lock", "dynamodb:DeleteItem"), func(here func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error) {
		return l.table.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
			TableName: &l.table.name, Key: lockIDKey(l.state.lockID()),
			ConditionExpression:       aws.String("#info = :info"),
			ExpressionAttributeNames:  map[string]string{"#info": attributeInfo},
			ExpressionAttributeValues: map[string]types.AttributeValue{":info": &types.AttributeValueMemberS{Value: tag}},
		}, here, l.table.bucket.wire.onceInTable)
	})
	return conditionFailed(err)
}

func (l *lockItem) request(doing, action string) request {
	return request{doing: doing, object: l.table.url(l.state.lockID()), action: action}
}

// conditionFailed returns errLockHeld if a condition was not met, and err otherwise.
func conditionFailed(err error) error {
	var failed *types.ConditionalCheckFailedException
	if errors.As(err, &failed) {
		return errLockHeld
	}
	return err
}

func (l *lockItem) path() string { return l.table.url(l.state.lockID()) }

// lift returns the command that removes the item by hand.
func (l *lockItem) lift() string {
	c := fmt.Sprintf(`aws dynamodb delete-item --table-name %s --key %s`, plainwords.ShellWord(l.table.name),
		plainwords.ShellWord(fmt.Sprintf(`{"%s":{"S":%q}}`, attributeLockID, l.state.lockID())))
	if b := l.state.bucket; b.profile != "" {
		c += " --profile " + plainwords.ShellWord(b.profile)
	}
	return c
}
